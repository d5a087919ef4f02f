internal import ControlClient
internal import Domain

/// `roost node update`
enum NodeUpdate {
  static let command: Command = Command(
    "node update", "change what may change",
    purpose:
      "Changes a node. Only what is given is changed. What its instances are made of (checkpoint, variables, image, models, configuration...) makes a new release: its instances take the place of the former ones, and if they fail the former release serves on.",
    arguments: [Positional("NODE", "id or name")],
    flags: [
      Flag("name", .text, value: "NAME", "another name"),
      Flag("maintenance-limit", .integer, value: "N", "instances that may be down at once"),
    ] + NodeRequest.flags.filter { !["folder", "project", "keep-random-state"].contains($0.name) }
      + OperationWaiter.flags,
    examples: [
      "roost node update my-node --instances 3 --wait",
      "roost node update my-node --checkpoint better-model --wait",
      "roost node update my-image --image ghcr.io/team/app:1.3 --surge 2 --wait",
      "roost node update my-models --model iris=iris-2 --wait",
      "roost node update my-models --model iris:1=iris-1 --model iris:2=iris-2 --wait",
      "roost node update my-servers --address 10.0.0.8:8080 --address 10.0.0.9:8080 --wait",
    ],
    run: { context in
      var (request, fields) = try request(context)
      let client = try context.client()
      if let login = request.image?.login, try client.node(context.first).kind == .model {
        request.image = nil
        request.model = RequestedModels(
          names: [], registryUser: login.registryUser, passwordSecret: login.passwordSecret)
        fields = fields.map { $0 == "image" ? "model" : $0 }
      }
      let operation = try client.updateNode(context.first, request, fields: fields)
      for warning in operation.warnings ?? [] { context.note("warning: \(warning)") }
      try await context.follow(operation, client, name: request.name ?? context.first)
    })

  private static func request(_ context: Context) throws(CommandFailure) -> (UpdateNodeRequest, [String]) {
    let parsed = context.parsed
    let acl = parsed.texts("acl")
    var request = UpdateNodeRequest(
      name: parsed.text("name"), description: parsed.text("description"),
      instances: NodeRequest.instances(parsed), scaling: try NodeScaling.spec(parsed, NodeUpdate.command),
      acl: acl.isEmpty ? nil : acl, maintenanceLimit: parsed.integer("maintenance-limit"),
      timeoutSeconds: parsed.duration("timeout").map(\.fractionalSeconds),
      queueLimit: parsed.integer("queue-limit"), addresses: AddressFlags.addresses(parsed),
      endpoint: AddressFlags.endpoint(parsed),
      healthCheck: try AddressFlags.healthCheck(parsed, command),
      telemetry: try ImageFlags.telemetry(parsed, command),
      rateLimit: AddressFlags.rate(parsed, "rate-limit"),
      callerRateLimit: AddressFlags.rate(parsed, "caller-rate-limit"))
    request.checkpoint = parsed.text("checkpoint")
    request.inputs = try NodeRequest.variables("input", context, command)
    request.outputs = try NodeRequest.variables("output", context, command)
    request.isolation = parsed.text("isolation")
    request.startMode = parsed.text("start-mode")
    request.restore = parsed.text("restore")
    request.warmUp = parsed.text("warm-up")
    request.environment = parsed.text("environment")
    request.strictEnvironment = parsed.toggle("strict-environment") ? true : nil
    request.secrets = try ImageFlags.secrets(parsed, command)
    request.configuration = parsed.text("configuration")
    request.subnet = parsed.text("subnet")
    request.zones = NodeRequest.zones(parsed)
    request.memoryBytes = parsed.size("memory")
    request.cpus = parsed.number("cpus")
    request.image = try ImageFlags.image(parsed, command, isUpdate: true)
    request.model = try ModelFlags.models(parsed, command, isUpdate: true)
    request.rollOut = RollOutFlags.spec(parsed)
    let given: [(String, Bool)] = [
      ("name", request.name != nil), ("description", request.description != nil),
      ("instances", request.instances != nil), ("scaling", request.scaling != nil),
      ("acl", request.acl != nil), ("maintenanceLimit", request.maintenanceLimit != nil),
      ("timeoutSeconds", request.timeoutSeconds != nil), ("queueLimit", request.queueLimit != nil),
      ("addresses", request.addresses != nil), ("endpoint", request.endpoint != nil),
      ("healthCheck", parsed.text("health-check") != nil),
      ("telemetry", request.telemetry != nil), ("rateLimit", request.rateLimit != nil),
      ("callerRateLimit", request.callerRateLimit != nil), ("checkpoint", request.checkpoint != nil),
      ("inputs", request.inputs != nil), ("outputs", request.outputs != nil),
      ("isolation", request.isolation != nil), ("startMode", request.startMode != nil),
      ("restore", request.restore != nil), ("warmUp", request.warmUp != nil),
      ("environment", request.environment != nil),
      ("secrets", request.secrets != nil),
      ("configuration", request.configuration != nil), ("subnet", request.subnet != nil),
      ("zones", request.zones != nil),
      ("memoryBytes", request.memoryBytes != nil), ("cpus", request.cpus != nil),
      ("image", request.image != nil), ("model", request.model != nil),
      ("rollOut", request.rollOut != nil),
    ]
    let fields = given.filter(\.1).map(\.0)
    guard !fields.isEmpty else { throw .usage("nothing to change: give a flag", command) }
    return (request, fields)
  }
}

extension RequestedImage {
  /// A login for a registry and nothing else, which nodes of models have too.
  fileprivate var login: RequestedImage? {
    let login = RequestedImage(registryUser: registryUser, passwordSecret: passwordSecret)
    return self == login ? login : nil
  }
}
