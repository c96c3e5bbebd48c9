"""A simulated Twilio Email Operations API, for the demo, as a stand-alone server and for tests.

It is written from Twilio's reference, independently of the exporter's client; stateful and strict, on a real
socket.
It must not know the exporter's client, protocol or ledger; it imports only `exporter.clock`,
`exporter.operation` and the version. docs/simulator.md lists the differences to Twilio.

    async with Simulator(World(SCENARIOS["steady"], started=clock.now()), clock) as simulator:
        ...  # GET {simulator.base_url}/Emails/Operations
"""
