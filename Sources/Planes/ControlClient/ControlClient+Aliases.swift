public import Domain

extension ControlClient {
  private static func path(_ alias: String) -> String { "/v1/aliases/\(escaped(alias))" }

  public func aliases(folder: String? = nil) throws(ClientError) -> ListResource<AliasResource> {
    try all("/v1/aliases", query: folder.map { [("folder", $0)] } ?? [])
  }

  /// An alias by id or name.
  public func alias(_ alias: String) throws(ClientError) -> AliasResource { try get(Self.path(alias)) }

  public func createAlias(_ request: CreateAliasRequest) throws(ClientError) -> AliasResource {
    try send("POST", "/v1/aliases", request)
  }

  /// Changes what `fields` name.
  public func updateAlias(
    _ alias: String, _ request: UpdateAliasRequest, fields: [String]
  ) throws(ClientError) -> AliasResource {
    try send(
      "PATCH", Self.path(alias), query: [("update_mask", fields.joined(separator: ","))], request)
  }

  /// Lets the requests of an alias wait.
  public func holdAlias(
    _ alias: String, _ request: HoldAliasRequest
  ) throws(ClientError) -> AliasResource { try send("POST", Self.path(alias) + ":hold", request) }

  /// Sends what waits to the nodes.
  public func releaseAlias(_ alias: String) throws(ClientError) -> AliasResource {
    try send("POST", Self.path(alias) + ":release")
  }

  public func deleteAlias(_ alias: String) throws(ClientError) { _ = try call("DELETE", Self.path(alias)) }

  /// Creates or changes what a file says; `newNodes` are taken for made by a dry run.
  public func applyAlias(
    _ json: [UInt8], dryRun: Bool, newNodes: [String]
  ) throws(ClientError) -> ApplyResource {
    var query = dryRun ? [("dry_run", "true")] : []
    if dryRun, !newNodes.isEmpty { query.append(("new_nodes", newNodes.joined(separator: ","))) }
    return try decode(ApplyResource.self, try call("POST", "/v1/aliases:apply", query: query, body: json))
  }

  /// The request that would make an alias as it is.
  public func aliasRequest(_ alias: String) throws(ClientError) -> JSONTree {
    let bytes = try call("GET", Self.path(alias) + "/request")
    do throws(JSONTreeError) { return try JSONTree(parsing: bytes) } catch {
      throw ClientError(.malformed, "the answer of \(url) is not JSON: \(error)")
    }
  }
}

/// Ramps.
extension ControlClient {
  /// The newest ramp of an alias, with its journal.
  public func ramp(_ alias: String) throws(ClientError) -> RampResource {
    try get("/v1/aliases/\(Self.escaped(alias))/ramp")
  }

  public func startRamp(_ alias: String, _ request: StartRampRequest) throws(ClientError) -> RampResource {
    try send("POST", "/v1/aliases/\(Self.escaped(alias)):ramp", request)
  }

  /// `verb`: pause, resume, promote or abort.
  public func changeRamp(_ alias: String, _ verb: String) throws(ClientError) -> RampResource {
    try send("POST", "/v1/aliases/\(Self.escaped(alias)):\(verb)")
  }
}
