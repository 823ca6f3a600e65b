"""`python -m handopt`."""

from handopt.cli.main import main

if __name__ == "__main__":
    main(prog_name="handopt")
