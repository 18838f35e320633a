"""From a file of one's own to the board: a template, a trial, and what a submission is made of."""
