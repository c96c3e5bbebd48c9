"""The command line: parsing, help, exit codes, and a module for each command.

A new command is a module with a `COMMAND`, and a line in `commands`.
"""
