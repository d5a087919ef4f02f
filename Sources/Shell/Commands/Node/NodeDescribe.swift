internal import ControlClient
internal import Domain

/// `roost node describe`
enum NodeDescribe {
  static let command: Command = Command(
    "node describe", "spec, status, limits, instances, curl line",
    purpose:
      "Describes a node: spec, status, conditions, last error, limits and where each comes from, instances.",
    arguments: [Positional("NODE", "id or name")], examples: ["roost node describe my-node"],
    run: { context in
      let client = try context.client()
      let node = try client.node(context.first)
      guard context.format == .table else { return try context.show(node, names: [node.name]) { "" } }
      let instances = try client.instances(of: node.id.text).items
      // Its name may change, and it may be unpinned: what is shown is what it is called now.
      let checkpoint = node.spec.cell.flatMap { try? client.checkpoint($0.checkpointId.text).name }
      context.surroundings.print(
        text(node, instances, context, url: client.url, checkpoint: checkpoint))
    })

  static func text(
    _ node: NodeResource, _ instances: [InstanceResource], _ context: Context, url: String,
    checkpoint: String? = nil
  ) -> String {
    var text = facts(node, context, checkpoint: checkpoint)
    let status = node.status
    if let error = status.lastError {
      text += "\nLast error (\(context.age(of: error.at)) ago):\n"
      text += traceback(error, withHead: true).map { "  \($0)\n" }.joined()
    }
    if !status.conditions.isEmpty {
      var table = Table("CONDITION", "STATUS", "REASON", "SINCE", "MESSAGE")
      for condition in status.conditions {
        table.add(
          condition.type, condition.status ? "True" : "False", condition.reason,
          context.age(of: condition.since),
          Table.oneLine(condition.message, width: 160))
      }
      text += "\n" + table.text
    }
    if !node.limits.isEmpty {
      var table = Table("LIMIT", "VALUE", "FROM")
      for limit in node.limits { table.add(limit.name, limit.value, limit.origin) }
      text += "\n" + table.text
    }
    if !instances.isEmpty { text += "\n" + NodeInstances.table(instances, context) }
    return text + "\nCall it:\n" + curl(node, url: url).map { "  \($0)\n" }.joined()
  }

  private static func facts(_ node: NodeResource, _ context: Context, checkpoint: String?) -> String {
    let (spec, status) = (node.spec, node.status)
    var facts = Facts()
    facts.add("Name", node.name)
    facts.add("ID", node.id.text)
    facts.add("Description", spec.description)
    facts.add(
      "Status",
      "\(status.status.rawValue), \(status.healthyInstances) of \(status.desiredInstances) instances healthy")
    facts.add(
      "Release",
      "\(status.rollOut?.message ?? "\(status.release)"), restarts \(status.restarts)"
        + (status.reloads.map { ", models loaded anew \($0)" } ?? ""))
    facts.add("Folder", node.folderId.text)
    facts.add("Project", node.projectId.text)
    facts.add("Made", "\(node.createdAt) (\(context.age(of: node.createdAt)) ago) by \(node.createdBy)")
    facts.add("Kind", node.kind.rawValue)
    if let cell = spec.cell { add(cell, node, checkpoint: checkpoint, to: &facts) }
    if let address = spec.address {
      facts.add("Addresses", address.addresses.map(\.address).joined(separator: ", "))
    }
    if let image = spec.image { add(image, spec, to: &facts) }
    if let source = spec.model {
      let native = source.nativeBackends == false ? ", no native backends" : ""
      facts.add(
        "Triton",
        source.image.map { "a container of \($0) for each instance\(native)" }
          ?? "a process for each instance")
      if let secret = source.passwordSecret {
        facts.add("Registry login", "\(source.registryUser ?? ""), password in secret \(secret)")
      }
    }
    for model in spec.model?.models ?? [] {
      let title = spec.model?.title(model) ?? model.name
      let figures = status.models?.first { $0.name == model.name && $0.version == model.version }
      let texts = [model.facts.inputs, model.facts.outputs].map { $0.map(\.text).joined(separator: " ") }
      facts.add("Model", "\(title) (\(model.id), \(model.facts.kind)): \(texts[0]) -> \(texts[1])")
      if let figures { facts.add("Measured", "\(title): \(text(figures))") }
    }
    let unchecked =
      spec.model == nil
      ? "none: an instance counts as healthy while it takes connections"
      : "each model is asked by a request made from its signature, all the time"
    if let endpoint = spec.endpoint { add(endpoint, spec.healthCheck, else: unchecked, to: &facts) }
    facts.add("Allowed from", spec.acl.map(\.text).joined(separator: ", "))
    return facts.text
  }

  private static func add(
    _ cell: CellSource, _ node: NodeResource, checkpoint: String?, to facts: inout Facts
  ) {
    let spec = node.spec
    facts.add("Checkpoint", checkpoint.map { "\($0) (\(cell.checkpointId))" } ?? cell.checkpointId.text)
    facts.add("Inputs", variables(cell.inputs))
    facts.add("Outputs", variables(cell.outputs))
    facts.add("Configuration", spec.configuration)
    facts.add(
      "Instances",
      spec.scaling == nil
        ? "\(spec.instances.count) (\(spec.instances.min) to \(spec.instances.max))"
        : "\(node.status.desiredInstances) now, \(spec.instances.min) to \(spec.instances.max) by the load; see: roost node scaling \(node.name)"
    )
    facts.add("Isolation", cell.isolation)
    facts.add(
      "Start", "\(cell.startMode)\(node.status.startMode.map { ": \($0)" } ?? ""), restore \(cell.restore)")
    facts.add("Warm-up", cell.warmUp ?? "off")
    if let secrets = cell.secrets { facts.add("Secrets", pairs(secrets)) }
    facts.add(
      "Subnet",
      spec.subnet == "none"
        ? "none: instances reach no network" : "\(spec.subnet): the network of this machine")
  }

  private static func add(_ image: ImageSource, _ spec: NodeSpec, to facts: inout Facts) {
    facts.add("Image", image.reference)
    facts.add("Port", String(image.port))
    if let command = image.command { facts.add("Command", command.joined(separator: " ")) }
    if let args = image.args { facts.add("Arguments", args.joined(separator: " ")) }
    if !image.environment.isEmpty {
      facts.add(
        "Environment", image.environment.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: ", "))
    }
    if let secrets = image.secrets { facts.add("Secrets", pairs(secrets)) }
    if let files = image.secretFiles { facts.add("Secret files", pairs(files)) }
    if let secret = image.passwordSecret {
      facts.add("Registry login", "\(image.registryUser ?? ""), password in secret \(secret)")
    }
    facts.add("Configuration", spec.configuration)
    facts.add("Instances", "\(spec.instances.count) (\(spec.instances.min) to \(spec.instances.max))")
    let writable = image.writablePaths.joined(separator: ", ")
    facts.add(
      "Files", image.readOnlyRoot ? "read-only but for \(writable)" : "can be changed by the container")
    if let telemetry = image.telemetry {
      facts.add(
        "Telemetry",
        "GET \(telemetry.path) of port \(telemetry.port) every \(telemetry.intervalSeconds) s, shown under /metrics/nodes"
      )
    }
    if let disk = image.diskGigabytes { facts.add("Disk", "\(disk) GB at \(image.diskPath)") }
  }

  private static func add(
    _ endpoint: EndpointSettings, _ check: HealthCheck?, else none: String, to facts: inout Facts
  ) {
    facts.add("Endpoint", endpoint.type)
    facts.add("Credentials", endpoint.passCredentials ? "passed on to the instances" : "not passed on")
    guard let check else {
      return facts.add("Health check", none)
    }
    let question = check.type == "grpc" ? "gRPC \(check.service)" : "GET \(check.path)"
    facts.add(
      "Health check",
      "\(question)\(check.port.map { " on port \($0)" } ?? "") every \(check.intervalSeconds) s, at most \(check.timeoutSeconds) s; out after \(check.failsThreshold) fails, back after \(check.passesThreshold) passes"
    )
  }

  private static func text(_ model: ServedModelResource) -> String {
    func time(_ value: Double?) -> String {
      value.map { "\(($0 * 1000).rounded() / 1000) ms" } ?? "-"
    }
    return
      "\(model.requests) requests in \(model.executions) executions, \(model.failures) failed, \(model.pending) waiting; queue \(time(model.queueMilliseconds)), compute \(time(model.computeMilliseconds)) on average"
  }

  private static func pairs(_ names: [String: String]) -> String {
    names.map { "\($0.key)=\($0.value)" }.sorted().joined(separator: ", ")
  }

  private static func variables(_ variables: [Variable]) -> String {
    variables.map { "\($0.name):\($0.type.rawValue)" }.joined(separator: ", ")
  }

  /// The last error in lines; the traceback whole.
  static func traceback(_ error: LastError, withHead: Bool = false) -> [String] {
    var lines: [String] = []
    if withHead { lines.append("\(error.phase.rawValue): \(error.message)") }
    lines += error.traceback.flatMap {
      $0.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }
    while lines.last?.isEmpty == true { lines.removeLast() }
    if withHead, let reference = error.logReference { lines.append("log: \(reference)") }
    return lines
  }

  /// A call to paste into a shell.
  static func curl(_ node: NodeResource, url: String) -> [String] {
    guard node.kind == .cell || node.kind == .model else {
      return [
        "curl \(url)/ \\", "  -H \"Authorization: Bearer $(roost token create --ttl 1h)\" \\",
        "  -H 'x-node-id: \(node.id)' -H 'x-folder-id: \(callingFolder(node).text)'",
      ]
    }
    var inputs: [JSONTree.Member] = []
    if let example = node.example, let tree = try? JSONTree(parsing: example),
      case .object(let members) = tree
    {
      inputs = members
    } else {
      inputs = (node.spec.cell?.inputs ?? []).map { .init($0.name, sample($0.type)) }
    }
    let body = JSONTree.object([
      .init("folder_id", .string(callingFolder(node).text)), .init("input", .object(inputs)),
    ])
    // A long line can't be pasted; the shell makes it of the same example.
    guard body.compact.utf8.count <= 1000 else {
      let input = "$(roost node api \(node.name) --example)"
      return [
        "curl -X POST \(url)\(node.executePath) \\",
        "  -H \"Authorization: Bearer $(roost token create --ttl 1h)\" \\",
        "  -d \"{\\\"folder_id\\\":\\\"\(callingFolder(node).text)\\\",\\\"input\\\":\(input)}\"",
      ]
    }
    let quoted = body.compact.split(separator: "'", omittingEmptySubsequences: false).joined(
      separator: "'\\''")
    return [
      "curl -X POST \(url)\(node.executePath) \\",
      "  -H \"Authorization: Bearer $(roost token create --ttl 1h)\" \\",
      "  -d '\(quoted)'",
    ]
  }

  /// The folder a call names: the node's own, where its ACL allows that.
  static func callingFolder(_ node: NodeResource) -> FolderID {
    node.spec.acl.contains(node.folderId) ? node.folderId : node.spec.acl.first ?? node.folderId
  }

  private static func sample(_ type: VariableType) -> JSONTree {
    switch type {
    case .dict: .object([])
    case .list, .ndarray: .array([])
    case .int: .number("1")
    case .float: .number("1.0")
    case .bool: .bool(true)
    case .datetime: .string("2026-01-01T00:00:00Z")
    case .str, .bytes, .image: .string("")
    case .any: .null
    case .dataFrame: .object([.init("columns", .array([])), .init("data", .array([]))])
    }
  }
}
