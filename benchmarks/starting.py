"""Seconds until the command line and the library are there, in a process of their own."""


class Import:
    """A fresh interpreter each time."""

    number = 1
    repeat = (3, 5, 20.0)

    def timeraw_command_line(self) -> str:
        return "import recon_bench.cli.main"

    def timeraw_methods(self) -> str:
        return "from recon_bench import registry; registry.methods()"
