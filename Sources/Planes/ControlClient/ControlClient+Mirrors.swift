public import Domain

extension ControlClient {
  private static func path(_ alias: String, _ rest: String) -> String {
    "/v1/aliases/\(escaped(alias))\(rest)"
  }

  public func mirror(_ alias: String) throws(ClientError) -> AliasMirrorResource {
    try get(Self.path(alias, "/mirror"))
  }

  public func setMirror(
    _ alias: String, _ request: SetAliasMirrorRequest
  ) throws(ClientError) -> AliasMirrorResource {
    try send("PUT", Self.path(alias, "/mirror"), request)
  }

  public func deleteMirror(_ alias: String) throws(ClientError) {
    _ = try call("DELETE", Self.path(alias, "/mirror"))
  }
}
