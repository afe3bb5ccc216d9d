"""`python -m worker.cli`: the same as the `billhook` script."""

from worker.cli.main import main

main()
