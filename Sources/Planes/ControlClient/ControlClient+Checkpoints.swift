public import Domain

extension ControlClient {
  private static func path(_ checkpoint: String, _ rest: String = "") -> String {
    "/v1/checkpoints/\(escaped(checkpoint))\(rest)"
  }

  private static func query(_ project: String?) -> [(String, String)] {
    project.map { [("project", $0)] } ?? []
  }

  public func checkpoints(
    project: String? = nil, pinned: Bool? = nil, limit: Int? = nil
  ) throws(ClientError) -> ListResource<CheckpointResource> {
    var query = Self.query(project)
    if let pinned { query.append(("pinned", pinned ? "true" : "false")) }
    return try all("/v1/checkpoints", query: query, limit: limit)
  }

  /// A checkpoint by id, or by name in the project.
  public func checkpoint(_ checkpoint: String, project: String? = nil) throws(ClientError)
    -> CheckpointResource
  {
    try get(Self.path(checkpoint), query: Self.query(project))
  }

  public func pin(
    _ checkpoint: String, name: String, project: String? = nil
  ) throws(ClientError) -> CheckpointResource {
    try send(
      "POST", Self.path(checkpoint, ":pin"), query: Self.query(project), PinCheckpointRequest(name: name))
  }

  public func unpin(_ checkpoint: String, project: String? = nil) throws(ClientError) {
    _ = try call("POST", Self.path(checkpoint, ":unpin"), query: Self.query(project))
  }

  public func rename(
    _ checkpoint: CheckpointID, name: String
  ) throws(ClientError) -> CheckpointResource {
    try send(
      "PATCH", Self.path(checkpoint.text), query: [("update_mask", "name")], PinCheckpointRequest(name: name))
  }

  public func deleteCheckpoint(_ checkpoint: String, project: String? = nil) throws(ClientError) {
    _ = try call("DELETE", Self.path(checkpoint), query: Self.query(project))
  }

  // MARK: Folders and projects

  public func folders() throws(ClientError) -> ListResource<FolderResource> { try all("/v1/folders") }

  public func createFolder(_ request: CreateFolderRequest) throws(ClientError) -> FolderResource {
    try send("POST", "/v1/folders", request)
  }

  public func projects() throws(ClientError) -> ListResource<ProjectResource> { try all("/v1/projects") }

  public func createProject(_ request: CreateProjectRequest) throws(ClientError) -> ProjectResource {
    try send("POST", "/v1/projects", request)
  }

  public func updateProject(
    _ project: String, _ request: UpdateProjectRequest, fields: [String]
  ) throws(ClientError) -> ProjectResource {
    try send(
      "PATCH", "/v1/projects/\(Self.escaped(project))",
      query: [("update_mask", fields.joined(separator: ","))],
      request)
  }
}
