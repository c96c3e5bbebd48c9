"""A simulated Twilio Email Operations API, for the demo, for a stand-alone server and for every test.

An independent second opinion: written from Twilio's reference, stateful, strict, on a real socket. It must
not know the exporter's own client, reader or ledger; of the product it sees `exporter.clock`,
`exporter.operation` and the version. docs/simulator.md lists how it differs from Twilio.

    async with Simulator(World(SCENARIOS["steady"], started=clock.now()), clock) as simulator:
        ...  # GET {simulator.base_url}/Emails/Operations
"""
