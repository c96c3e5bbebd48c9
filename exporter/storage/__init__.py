"""Where the state of accounts is kept between processes.

Must not know what is counted, or when to save.
"""
