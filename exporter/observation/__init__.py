"""The command `observe`: watches an account, and answers the open questions of Twilio's reference from it.

It must not know polls, the ledger's sums or metrics.
"""
