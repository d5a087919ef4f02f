import Access
import ControlPlane
import Domain
import HTTPModel
import Storage

/// Upload of a checkpoint's blobs (`docs/formats/checkpoint.md`, Upload).
enum BlobEndpoints {
  static let chunkBytes = 8 << 20

  private struct MissingRequest: Decodable { var digests: [String] }
  private struct MissingAnswer: Encodable { var missing: [String] }
  private struct UploadAnswer: Encodable {
    var id: UploadID
    var chunkBytes: Int
  }

  private struct CommitAnswer: Encodable {
    var digest: String
    var size: Int64
  }

  static func missing(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    _ = try await ProjectEndpoints.find(call.segments[0], .develop, call, api)
    let request = try call.body(MissingRequest.self)
    guard request.digests.count <= 100_000 else {
      throw .invalid("digests", "digests: at most 100000 at once, this has \(request.digests.count)")
    }
    for (index, digest) in request.digests.enumerated() { try check(digest, "digests[\(index)]") }
    return try Answer.json(MissingAnswer(missing: try api.world.blobs.missing(request.digests)))
  }

  static func put(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    _ = try await ProjectEndpoints.find(call.segments[0], .develop, call, api)
    try check(call.segments[1], "digest")
    try await api.world.blobs.put(call.segments[1], call.request.body)
    return Answer.empty()
  }

  static func begin(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    _ = try await ProjectEndpoints.find(call.segments[0], .develop, call, api)
    return try Answer.json(
      UploadAnswer(id: try await api.world.blobs.beginUpload(), chunkBytes: chunkBytes), status: 201)
  }

  static func append(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("offset")
    _ = try await ProjectEndpoints.find(call.segments[0], .develop, call, api)
    let offset = try call.number("offset", default: 0, in: 0...Int.max)
    _ = try await api.world.blobs.append(try upload(call), offset: Int64(offset), call.request.body)
    return Answer.empty()
  }

  static func commit(_ call: Call, _ api: APIWorld) async throws(PlatformError) -> HTTPResponse {
    try call.allowQuery("digest")
    _ = try await ProjectEndpoints.find(call.segments[0], .develop, call, api)
    let digest = call.query["digest"]
    if let digest { try check(digest, "digest") }
    let blob = try await api.world.blobs.commit(try upload(call), digest: digest)
    // Who does not know the digest is told it.
    return digest == nil
      ? try Answer.json(CommitAnswer(digest: blob.digest, size: blob.size)) : Answer.empty()
  }

  private static func upload(_ call: Call) throws(PlatformError) -> UploadID {
    guard let id = UploadID(call.segments[1]) else {
      throw PlatformError(
        .notFound, "upload '\(call.segments[1])' does not exist; begin a new one", origin: .caller)
    }
    return id
  }

  private static func check(_ digest: String, _ field: String) throws(PlatformError) {
    guard Digest.isWellFormed(digest) else {
      throw .invalid(field, "\(field): '\(digest.prefix(100))' is not sha256:<64 lower-case hex digits>")
    }
  }
}
