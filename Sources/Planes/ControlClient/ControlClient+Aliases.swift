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
}
