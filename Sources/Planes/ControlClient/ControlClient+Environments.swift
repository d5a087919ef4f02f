public import Domain

extension ControlClient {
  private static func path(_ environment: String, _ rest: String = "") -> String {
    "/v1/environments/\(escaped(environment))\(rest)"
  }

  private static func query(_ folder: String?) -> [(String, String)] {
    folder.map { [("folder", $0)] } ?? []
  }

  public func environments(folder: String? = nil) throws(ClientError) -> ListResource<EnvironmentResource> {
    try all("/v1/environments", query: Self.query(folder))
  }

  /// An environment by id or name; `default` is the server's own.
  public func environment(_ environment: String, folder: String? = nil) throws(ClientError)
    -> EnvironmentResource
  {
    try get(Self.path(environment), query: Self.query(folder))
  }

  public func createEnvironment(_ request: CreateEnvironmentRequest) throws(ClientError) -> OperationResource
  {
    try send("POST", "/v1/environments", request)
  }

  public func deleteEnvironment(_ environment: String, folder: String? = nil) throws(ClientError) {
    _ = try call("DELETE", Self.path(environment), query: Self.query(folder))
  }

  /// Lines of the build's log; waits for more behind a cursor.
  public func environmentLogs(
    _ environment: String, folder: String? = nil, after: String? = nil, waitSeconds: Int = 0
  ) throws(ClientError) -> LogPage {
    var query = Self.query(folder)
    if let after { query.append(("after", after)) }
    if waitSeconds > 0 { query.append(("wait", String(waitSeconds))) }
    return try get(Self.path(environment, "/logs"), query: query)
  }

  public func checkEnvironment(
    _ environment: String, folder: String? = nil, _ request: CheckEnvironmentRequest
  ) throws(ClientError) -> EnvironmentCheckResource {
    try send("POST", Self.path(environment, ":check"), query: Self.query(folder), request)
  }
}
