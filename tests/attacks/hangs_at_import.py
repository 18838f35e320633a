"""Its import never ends, nor does that of a child that it leaves in a session of its own."""

import os
import time

from tests.attacks.making import method

METHODS = (method("hangs-at-import"),)
ROW = ("failed", "its import takes more than", "")
if os.fork() == 0:
    os.setsid()
while True:
    time.sleep(60)
