public import Domain

extension ControlClient {
  private static func path(_ node: String, _ rest: String = "") -> String {
    "/v1/nodes/\(escaped(node))\(rest)"
  }

  public func nodes(folder: String? = nil) throws(ClientError) -> ListResource<NodeResource> {
    try all("/v1/nodes", query: folder.map { [("folder", $0)] } ?? [])
  }

  /// Nodes that are gone and whose logs are kept.
  public func deletedNodes(folder: String? = nil) throws(ClientError) -> ListResource<DeletedNodeResource> {
    try all("/v1/deleted-nodes", query: folder.map { [("folder", $0)] } ?? [])
  }

  /// A node by id or name.
  public func node(_ node: String) throws(ClientError) -> NodeResource { try get(Self.path(node)) }

  /// The OpenAPI document of a cell node's API.
  public func nodeOpenAPI(_ node: String) throws(ClientError) -> JSONTree {
    let bytes = try call("GET", "/nodes/\(Self.escaped(node))/openapi.json")
    do throws(JSONTreeError) { return try JSONTree(parsing: bytes) } catch {
      throw ClientError(.malformed, "the answer of \(url) is not JSON: \(error)")
    }
  }

  /// The `.proto` of a cell node's typed service.
  public func nodeProto(_ node: String) throws(ClientError) -> String {
    String(decoding: try call("GET", "/nodes/\(Self.escaped(node))/node.proto"), as: UTF8.self)
  }

  public func createNode(_ request: CreateNodeRequest) throws(ClientError) -> OperationResource {
    try send("POST", "/v1/nodes", request)
  }

  /// The static checks of a node that is not made.
  public func validateNode(_ request: CreateNodeRequest) throws(ClientError) -> ValidationResource {
    try send("POST", "/v1/nodes:validate", request)
  }

  public func updateNode(
    _ node: String, _ request: UpdateNodeRequest, fields: [String]
  ) throws(ClientError) -> OperationResource {
    try send("PATCH", Self.path(node), query: [("update_mask", fields.joined(separator: ","))], request)
  }

  public func deleteNode(_ node: String) throws(ClientError) -> OperationResource {
    try send("DELETE", Self.path(node))
  }

  /// `suspend`, `resume` or `reset`.
  public func changeNode(_ node: String, _ verb: String) throws(ClientError) -> OperationResource {
    try send("POST", Self.path(node, ":\(verb)"))
  }

  /// Makes a node be as the body of a creation says; `dryRun` only checks.
  public func applyNode(_ json: [UInt8], dryRun: Bool) throws(ClientError) -> ApplyResource {
    try decode(
      ApplyResource.self,
      try call("POST", "/v1/nodes:apply", query: dryRun ? [("dry_run", "true")] : [], body: json))
  }

  /// The request that would make a node as it is.
  public func nodeRequest(_ node: String) throws(ClientError) -> JSONTree {
    let bytes = try call("GET", Self.path(node, "/request"))
    do throws(JSONTreeError) { return try JSONTree(parsing: bytes) } catch {
      throw ClientError(.malformed, "the answer of \(url) is not JSON: \(error)")
    }
  }

  /// To a release, or to the one that served before.
  public func rollBack(_ node: String, to release: Int?) throws(ClientError) -> OperationResource {
    try send("POST", Self.path(node, ":rollback"), RollbackRequest(release: release))
  }

  /// Lets another node take a node's place in aliases.
  public func replaceNode(
    _ node: String, _ request: ReplaceNodeRequest
  ) throws(ClientError) -> OperationResource { try send("POST", Self.path(node, ":replace"), request) }

  /// What `replaceNode` would do.
  public func planReplacement(
    _ node: String, _ request: ReplaceNodeRequest
  ) throws(ClientError) -> ReplacePlanResource { try send("POST", Self.path(node, ":replacePlan"), request) }

  /// The newest first.
  public func releases(of node: String) throws(ClientError) -> ListResource<ReleaseResource> {
    try all(Self.path(node, "/releases"))
  }

  public func instances(of node: String) throws(ClientError) -> ListResource<InstanceResource> {
    try all(Self.path(node, "/instances"))
  }

  /// What a node's policy would have done with recorded requests.
  public func whatIf(_ node: String, _ request: WhatIfRequest) throws(ClientError) -> WhatIfResource {
    try send("POST", Self.path(node, "/scaling:whatIf"), request)
  }

  /// How the number of a node's instances follows its load.
  public func scaling(of node: String) throws(ClientError) -> ScalingResource {
    try get(Self.path(node, "/scaling"))
  }

  /// What nodes and instances use now; of all nodes, or of one by its id or name.
  public func top(node: String? = nil) throws(ClientError) -> TopResource {
    try get("/v1/top", query: node.map { [("node", $0)] } ?? [])
  }

  /// Instances of all nodes, or of one by its id or name.
  public func instances(node: String?) throws(ClientError) -> ListResource<InstanceResource> {
    try all("/v1/instances", query: node.map { [("node", $0)] } ?? [])
  }

  public func instance(_ id: String) throws(ClientError) -> InstanceResource {
    try get("/v1/instances/\(Self.escaped(id))")
  }

  /// Kills, freezes or slows an instance.
  public func disturb(_ instance: String, _ request: DisturbRequest) throws(ClientError) {
    _ = try call(
      "POST", "/v1/instances/\(Self.escaped(instance)):disturb", body: try Self.encode(request))
  }

  /// Lines behind the cursor; waits for some when there are none. `filter`: more parameters of the call.
  public func logs(
    of node: String, after cursor: String?, tail: Int?, waitSeconds: Int, filter: [(String, String)] = []
  ) throws(ClientError) -> LogPage {
    var query = filter
    if let cursor { query.append(("after", cursor)) }
    if let tail { query.append(("tail", String(tail))) }
    if waitSeconds > 0 { query.append(("wait", String(waitSeconds))) }
    return try get(Self.path(node, "/logs"), query: query, timeout: .seconds(30 + waitSeconds))
  }

  /// Runs the node's cell; `input` is the text of a JSON object. The output as JSON.
  public func execute(
    _ path: String, folder: String, input: JSONTree, timeout: Duration
  ) throws(ClientError) -> JSONTree {
    let body = JSONTree.object([.init("folder_id", .string(folder)), .init("input", input)])
    let bytes = try call("POST", path, body: Array(body.compact.utf8), timeout: timeout)
    do throws(JSONTreeError) {
      let answer = try JSONTree(parsing: bytes)
      return answer["output"] ?? answer
    } catch {
      throw ClientError(.malformed, "the answer of \(path) is not JSON: \(error)")
    }
  }

  // MARK: Operations

  public func operations(resource: String? = nil, limit: Int?) throws(ClientError) -> ListResource<
    OperationResource
  > {
    try all("/v1/operations", query: resource.map { [("resource", $0)] } ?? [], limit: limit)
  }

  public func operation(_ id: String) throws(ClientError) -> OperationResource {
    try get("/v1/operations/\(Self.escaped(id))")
  }

  /// Takes a change back; one that has ended is answered as it is.
  public func cancelOperation(_ id: String) throws(ClientError) -> OperationResource {
    try send("POST", "/v1/operations/\(Self.escaped(id)):cancel")
  }
}
