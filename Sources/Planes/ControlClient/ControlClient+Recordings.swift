public import Domain

extension ControlClient {
  private static func path(_ alias: String, _ rest: String) -> String {
    "/v1/aliases/\(escaped(alias))\(rest)"
  }

  public func recording(_ alias: String) throws(ClientError) -> AliasRecordingResource {
    try get(Self.path(alias, "/recording"))
  }

  public func setRecording(
    _ alias: String, _ request: SetAliasRecordingRequest
  ) throws(ClientError) -> AliasRecordingResource {
    try send("PUT", Self.path(alias, "/recording"), request)
  }

  public func deleteRecording(_ alias: String) throws(ClientError) {
    _ = try call("DELETE", Self.path(alias, "/recording"))
  }

  public func replay(_ alias: String, _ request: ReplayAliasRequest) throws(ClientError) -> OperationResource
  {
    try send("POST", Self.path(alias, ":replay"), request)
  }

  /// What came of a replay, by the id of its operation, or `latest`.
  public func replayReport(_ alias: String, _ id: String) throws(ClientError) -> ReplayResource {
    try get(Self.path(alias, "/replays/\(id)"))
  }
}
