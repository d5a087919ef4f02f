internal import Domain

/// The flags that describe a new node, for `create` and `validate`.
enum NodeRequest {
  static let flags: [Flag] =
    [
      Flag("checkpoint", .text, value: "CHECKPOINT", "a cell node: name of a pinned checkpoint, or an id"),
      Flag("input", .text, value: "NAME:TYPE", "an input variable", repeatable: true),
      Flag("output", .text, value: "NAME:TYPE", "an output variable", repeatable: true),
      Flag("configuration", .text, value: "NAME", "size of an instance (c1.4); roost configuration list"),
      Flag(
        "instances", .integer, value: "N",
        "how many instances (1); without it, between --min and --max by the load"),
      Flag("min", .integer, value: "N", "least instances; 0 lets the node rest when nobody calls"),
      Flag("max", .integer, value: "N", "most instances"),
      Flag(
        "isolation", .choice(["instance", "request"]), "what one request can change for the next (instance)"),
      Flag(
        "subnet", .choice(["none", "host", "default"]),
        "what an instance can reach (none; of image nodes default: a network with a way out)"),
      Flag(
        "zone", .text, value: "ZONE[=SUBNET]",
        "an image node: a zone to spread its instances over, and its network there (the first zone, a network of its own)",
        repeatable: true),
      Flag("timeout", .duration, "longest time of a request (15s)"),
      Flag("memory", .size, "memory of an instance, instead of the configuration's"),
      Flag("cpus", .number, "vCPU of an instance, instead of the configuration's"),
      Flag("queue-limit", .integer, value: "N", "requests that may wait (1000)"),
      Flag("folder", .text, value: "FOLDER", "owner, id or name (the project's)"), projectFlag,
      Flag("acl", .text, value: "FOLDER", "a folder that may call it (its own)", repeatable: true),
      Flag("start-mode", .choice(["auto", "fork", "spawn"]), "how instances start (auto)"),
      Flag("restore", .choice(["reachable", "full"]), "which variables are restored (reachable)"),
      Flag("keep-random-state", .toggle, "every instance starts with the notebook's random state"),
      Flag(
        "warm-up", .choice(["fork", "instance", "off"]),
        "where the example request runs before callers' (fork: a throw-away copy; off with --subnet host)"),
      Flag(
        "environment", .text, value: "ENVIRONMENT",
        "a cell node: interpreter and packages that it runs in (default)"),
      Flag("strict-environment", .toggle, "refuse packages of other versions than in the notebook"),
      ImageFlags.secretFlag, Flag("description", .text, "what it is for"),
    ] + RollOutFlags.flags + NodeScaling.flags + ModelFlags.flags + ImageFlags.flags + AddressFlags.flags

  static func request(_ context: Context, _ command: Command) throws(CommandFailure) -> CreateNodeRequest {
    let parsed = context.parsed
    let addresses = AddressFlags.addresses(parsed)
    let image = try ImageFlags.image(parsed, command)
    let model = try ModelFlags.models(parsed, command)
    guard parsed.text("checkpoint") != nil || addresses != nil || image != nil || model != nil else {
      throw .usage(
        "give --checkpoint for a cell node, --model for a model node, --image for an image node, or --address for an address node",
        command)
    }
    return CreateNodeRequest(
      name: context.first, description: parsed.text("description"), project: parsed.text("project"),
      folder: parsed.text("folder"),
      kind: addresses != nil ? .address : image != nil ? .image : model != nil ? .model : nil,
      checkpoint: parsed.text("checkpoint"),
      inputs: try variables("input", context, command), outputs: try variables("output", context, command),
      configuration: parsed.text("configuration"), instances: instances(parsed),
      scaling: try NodeScaling.spec(parsed, command), isolation: parsed.text("isolation"),
      startMode: parsed.text("start-mode"),
      restore: parsed.text("restore"),
      keepRandomState: parsed.toggle("keep-random-state") ? true : nil,
      warmUp: parsed.text("warm-up"), environment: parsed.text("environment"),
      strictEnvironment: parsed.toggle("strict-environment") ? true : nil,
      secrets: try ImageFlags.secrets(parsed, command), subnet: parsed.text("subnet"),
      zones: zones(parsed),
      timeoutSeconds: parsed.duration("timeout").map(\.fractionalSeconds),
      queueLimit: parsed.integer("queue-limit"),
      addresses: addresses, image: image, model: model, endpoint: AddressFlags.endpoint(parsed),
      healthCheck: try AddressFlags.healthCheck(parsed, command),
      telemetry: try ImageFlags.telemetry(parsed, command),
      rateLimit: AddressFlags.rate(parsed, "rate-limit"),
      callerRateLimit: AddressFlags.rate(parsed, "caller-rate-limit"), memoryBytes: parsed.size("memory"),
      cpus: parsed.number("cpus"),
      acl: parsed.texts("acl").isEmpty ? nil : parsed.texts("acl"), rollOut: RollOutFlags.spec(parsed))
  }

  static func instances(_ parsed: ParsedArguments) -> RequestedInstances? {
    let (count, min, max) = (parsed.integer("instances"), parsed.integer("min"), parsed.integer("max"))
    return count == nil && min == nil && max == nil
      ? nil : RequestedInstances(min: min, max: max, count: count)
  }

  /// `a` or `a=apps`.
  static func zones(_ parsed: ParsedArguments) -> [ZonePlacement]? {
    let zones = parsed.texts("zone").map { text in
      let sides = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      return ZonePlacement(zone: sides[0], subnet: sides.count == 2 ? sides[1] : nil)
    }
    return zones.isEmpty ? nil : zones
  }

  /// `x:int` → a variable.
  static func variables(
    _ flag: String, _ context: Context, _ command: Command
  ) throws(CommandFailure) -> [RequestedVariable]? {
    var result: [RequestedVariable] = []
    for text in context.parsed.texts(flag) {
      let sides = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard sides.count == 2, !sides[0].isEmpty, !sides[1].isEmpty else {
        let types = VariableType.allCases.map(\.rawValue).joined(separator: ", ")
        throw .usage("--\(flag): '\(text)' must be NAME:TYPE; types: \(types)", command)
      }
      result.append(RequestedVariable(name: sides[0], type: sides[1]))
    }
    return result.isEmpty ? nil : result
  }
}
