"""What the tuner tried and which of it was chosen, from a result whose records are its tries."""

from __future__ import annotations

from recon_bench.results.result import Result

TIE = 0.005  # dB: half the last digit shown; rounding must not choose twenty iterations where one does


def chosen_record(tuning: Result) -> int | None:
    """Index of the record that holds the settings of the header, the best of several; None where no record does.

    A choice stands in a record by its index and in the header by its value, so it is not compared; a setting that was
    tried at 0 is one, because ranges are positive.
    """
    metric = tuning.measurement["metrics"][0]
    sign = 1 if metric["better"] == "higher" else -1
    choices = {name for record in tuning.records for name, number in record["at"].items() if number == 0}

    def same(name: str, number: float) -> bool:
        value = tuning.method["settings"].get(name)
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        return not numeric or name in choices or value == number

    fitting = [
        (sign * record["values"][metric["name"]], -index)
        for index, record in enumerate(tuning.records)
        if metric["name"] in record["values"] and all(same(*item) for item in record["at"].items())
    ]
    return -max(fitting)[1] if fitting else None
