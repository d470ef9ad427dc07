"""`python -m argilla_admap` is the command `argilla-admap`."""

from argilla_admap.cli import main

main()
