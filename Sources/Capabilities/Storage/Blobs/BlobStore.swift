public import Domain
import Glibc

/// Blobs of checkpoints, named by the hash of their bytes, in an OCI image layout.
///
/// `DATA/registry` holds `oci-layout`, `index.json` and `blobs/sha256/<hex>`; `DATA/uploads` what is not yet
/// whole;
/// `DATA/damaged` blobs that were found corrupt. What was acknowledged is on the disk.
public actor BlobStore {
  /// Where `DATA/registry` is.
  public nonisolated let registry: String
  nonisolated let uploadFolder: String
  nonisolated let damagedFolder: String
  /// Hashes of uploads so far; one that is missing is made anew from the file.
  var uploads: [UploadID: UploadState] = [:]
  var index: OCIIndex

  /// Opens the folders under the data folder (made when missing).
  public init(data: String) throws(PlatformError) {
    registry = data + "/registry"
    uploadFolder = data + "/uploads"
    damagedFolder = data + "/damaged"
    let folders = [
      data, registry, registry + "/blobs", registry + "/blobs/sha256", uploadFolder, damagedFolder,
    ]
    for folder in folders { try Files.makeFolder(folder) }
    let layout = registry + "/oci-layout"
    if Files.status(layout) == nil {
      try Files.replace(
        layout, with: Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8),
        through: uploadFolder + "/tmp-oci-layout",
        mode: 0o644)
    }
    index = try OCIIndex.load(registry + "/index.json")
    if Files.status(registry + "/index.json") == nil {
      try index.save(registry + "/index.json", through: uploadFolder + "/tmp-index")
    }
  }

  // MARK: Reading

  /// The file of a blob, whether it exists or not. Throws `invalidArgument` when the digest is malformed.
  public nonisolated func path(of digest: String) throws(PlatformError) -> String {
    registry + "/blobs/sha256/" + (try Self.hex(digest))
  }

  /// Bytes of a blob; nil when there is none.
  public nonisolated func size(of digest: String) throws(PlatformError) -> Int64? {
    Files.status(try path(of: digest)).map { Int64($0.st_size) }
  }

  /// Those of the digests that are not here. The others are kept for an hour, used or not.
  public nonisolated func missing(_ digests: [String]) throws(PlatformError) -> [String] {
    var result: [String] = []
    for digest in digests where !Files.touch(try path(of: digest)) { result.append(digest) }
    return result
  }

  /// The bytes of a small blob, checked. Throws `notFound`, `payloadTooLarge`, `dataLoss`.
  @concurrent public nonisolated func read(
    _ digest: String, limit: Int = 64 << 20
  ) async throws(PlatformError) -> [UInt8] {
    guard let bytes = try Files.read(try path(of: digest), limit: limit) else { throw Self.absent(digest) }
    let found = try DigestHasher.digest(of: bytes)
    guard found == digest else { throw try setAside(digest, found: found) }
    return bytes
  }

  /// Reads a whole blob and compares. A damaged one is set aside, so that saving the state again uploads it
  /// anew.
  @concurrent public nonisolated func verify(_ digest: String) async throws(PlatformError) {
    let descriptor = open(try path(of: digest), O_RDONLY | O_CLOEXEC)
    if descriptor < 0, errno == ENOENT { throw Self.absent(digest) }
    guard descriptor >= 0 else { throw Files.failure("open blob \(digest)") }
    defer { close(descriptor) }
    let hasher = try DigestHasher()
    try Files.chunks(of: descriptor) { (chunk) throws(PlatformError) in hasher.update(chunk) }
    let found = hasher.finish()
    guard found == digest else { throw try setAside(digest, found: found) }
  }

  // MARK: Writing

  /// Keeps a blob. It is on the disk when the call returns; a copy that was there is replaced.
  @concurrent public nonisolated func put(
    _ digest: String, _ bytes: [UInt8]
  ) async throws(PlatformError) {
    let target = try path(of: digest)
    let found = try DigestHasher.digest(of: bytes)
    guard found == digest else { throw Self.mismatch(digest, found: found) }
    let temporary = "\(uploadFolder)/tmp-\(UploadID.random())"
    try Files.replace(target, with: bytes, through: temporary, mode: 0o444)
  }

  // MARK: Garbage

  /// Removes blobs that nobody refers to and that nobody has asked for in a while, and uploads that were
  /// given up.
  ///
  /// `referenced` may be old by less than `olderThan`: what was added since is young.
  @concurrent public nonisolated func collectGarbage(
    referenced: Set<String>, olderThan age: Duration = .seconds(3600), now: Timestamp
  ) async throws(PlatformError) -> (removed: Int, bytes: Int64) {
    var removed = 0
    var bytes: Int64 = 0
    let folder = registry + "/blobs/sha256"
    for name in try Files.list(folder) {
      let path = "\(folder)/\(name)"
      guard name.utf8.count == 64, !referenced.contains("sha256:\(name)"), let status = Files.status(path),
        now - Files.modified(status) > age
      else { continue }
      guard unlink(path) == 0 else { throw Files.failure("remove \(path)") }
      removed += 1
      bytes += Int64(status.st_size)
    }
    try await removeExpiredUploads(now: now)
    return (removed, bytes)
  }

  // MARK: Words

  static func hex(_ digest: String) throws(PlatformError) -> String {
    let bytes = Array(digest.utf8)
    guard bytes.count == 71, digest.hasPrefix("sha256:"),
      bytes[7...].allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) })
    else {
      throw .invalid(
        "digest", "digest: '\(digest.prefix(80))' is not 'sha256:' and 64 lower-case hexadecimal digits")
    }
    return String(digest.dropFirst(7))
  }

  static func mismatch(_ digest: String, found: String) -> PlatformError {
    .invalid(
      "digest",
      "digest: the bytes have the digest \(found), not \(digest): the upload was damaged, send it again")
  }

  private static func absent(_ digest: String) -> PlatformError {
    PlatformError(
      .notFound, "blob \(digest) is not here (never uploaded, or damaged and set aside): run the cell again")
  }

  private nonisolated func setAside(_ digest: String, found: String) throws(PlatformError) -> PlatformError {
    let kept = "\(damagedFolder)/\(try Self.hex(digest))"
    try Files.move(try path(of: digest), to: kept)
    return PlatformError(
      .dataLoss,
      "blob \(digest) is damaged (its bytes have the digest \(found)); it was set aside in the folder 'damaged': run the cell again to save the state anew, and check the disk"
    )
  }
}
