"""The command line: parsing, help, exit codes, and a module for each command.

A new command is a module with a function `run`, and a row in `commands`.
"""
