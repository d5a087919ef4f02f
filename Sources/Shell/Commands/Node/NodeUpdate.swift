internal import ControlClient
internal import Domain

/// `roost node update`
enum NodeUpdate {
  static let command: Command = Command(
    "node update", "change what may change",
    purpose: "Changes a node. Only what is given is changed.",
    arguments: [Positional("NODE", "id or name")],
    flags: [
      Flag("name", .text, value: "NAME", "another name"), Flag("description", .text, "what it is for"),
      Flag(
        "instances", .integer, value: "N",
        "how many instances; without it, between --min and --max by the load"),
      Flag("min", .integer, value: "N", "least instances; 0 lets the node rest when nobody calls"),
      Flag("max", .integer, value: "N", "most instances"),
      Flag("acl", .text, value: "FOLDER", "a folder that may call it; all of them anew", repeatable: true),
      Flag("maintenance-limit", .integer, value: "N", "instances that may be down at once"),
      Flag("timeout", .duration, "longest time of a request"),
      Flag("queue-limit", .integer, value: "N", "requests that may wait"),
    ] + NodeScaling.flags + ImageFlags.telemetryFlags + AddressFlags.flags + OperationWaiter.flags,
    examples: [
      "roost node update my-node --instances 3 --wait",
      "roost node update my-servers --address 10.0.0.8:8080 --address 10.0.0.9:8080 --wait",
    ],
    run: { context in
      let parsed = context.parsed
      let acl = parsed.texts("acl")
      let request = UpdateNodeRequest(
        name: parsed.text("name"), description: parsed.text("description"),
        instances: NodeRequest.instances(parsed), scaling: NodeScaling.spec(parsed),
        acl: acl.isEmpty ? nil : acl, maintenanceLimit: parsed.integer("maintenance-limit"),
        timeoutSeconds: parsed.duration("timeout").map(\.fractionalSeconds),
        queueLimit: parsed.integer("queue-limit"), addresses: AddressFlags.addresses(parsed),
        endpoint: AddressFlags.endpoint(parsed),
        healthCheck: try AddressFlags.healthCheck(parsed, NodeUpdate.command),
        telemetry: try ImageFlags.telemetry(parsed, NodeUpdate.command),
        rateLimit: AddressFlags.rate(parsed, "rate-limit"),
        callerRateLimit: AddressFlags.rate(parsed, "caller-rate-limit"))
      let given: [(String, Bool)] = [
        ("name", request.name != nil), ("description", request.description != nil),
        ("instances", request.instances != nil), ("scaling", request.scaling != nil),
        ("acl", request.acl != nil),
        ("maintenanceLimit", request.maintenanceLimit != nil),
        ("timeoutSeconds", request.timeoutSeconds != nil),
        ("queueLimit", request.queueLimit != nil), ("addresses", request.addresses != nil),
        ("endpoint", request.endpoint != nil), ("healthCheck", parsed.text("health-check") != nil),
        ("telemetry", request.telemetry != nil),
        ("rateLimit", request.rateLimit != nil), ("callerRateLimit", request.callerRateLimit != nil),
      ]
      let fields = given.filter(\.1).map(\.0)
      guard !fields.isEmpty else {
        throw CommandFailure.usage("nothing to change: give a flag", NodeUpdate.command)
      }
      let client = try context.client()
      let operation = try client.updateNode(context.first, request, fields: fields)
      try await context.follow(operation, client, name: request.name ?? context.first)
    })
}
