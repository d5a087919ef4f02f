public import Domain

extension ControlClient {
  private struct Upload: Decodable {
    var id: UploadID
    var chunkBytes: Int
  }
  private struct Committed: Decodable { var digest: String }

  private static func path(_ model: String, _ rest: String = "") -> String {
    "/v1/models/\(escaped(model))\(rest)"
  }

  private static func query(_ project: String?) -> [(String, String)] {
    project.map { [("project", $0)] } ?? []
  }

  /// Uploads a file in parts, which `next` gives until an empty one; its digest.
  public func upload(
    project: String, next: (_ bytes: Int) throws(ClientError) -> [UInt8]
  ) throws(ClientError) -> String {
    let base = "/v1/projects/\(Self.escaped(project))/uploads"
    let upload: Upload = try send("POST", base)
    var offset = 0
    while true {
      let part = try next(upload.chunkBytes)
      guard !part.isEmpty else { break }
      _ = try call("PATCH", "\(base)/\(upload.id)", query: [("offset", String(offset))], body: part)
      offset += part.count
    }
    let committed: Committed = try send("PUT", "\(base)/\(upload.id)")
    return committed.digest
  }

  public func createModel(
    _ request: CreateModelRequest, project: String
  ) throws(ClientError) -> ModelResource {
    try send("POST", "/v1/projects/\(Self.escaped(project))/models", request)
  }

  public func models(
    project: String? = nil, limit: Int? = nil
  ) throws(ClientError) -> ListResource<ModelResource> {
    try all("/v1/models", query: Self.query(project), limit: limit)
  }

  /// A model by id, or by name in the project.
  public func model(_ model: String, project: String? = nil) throws(ClientError) -> ModelResource {
    try get(Self.path(model), query: Self.query(project))
  }

  /// A part of the model's file; empty at its end.
  public func content(
    ofModel model: String, project: String? = nil, from offset: Int64
  ) throws(ClientError) -> [UInt8] {
    try call(
      "GET", Self.path(model, "/content"), query: Self.query(project) + [("offset", String(offset))])
  }

  public func deleteModel(_ model: String, project: String? = nil) throws(ClientError) {
    _ = try call("DELETE", Self.path(model), query: Self.query(project))
  }
}
