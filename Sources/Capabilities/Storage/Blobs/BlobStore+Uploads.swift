public import Domain
import Glibc

/// How far an upload is.
struct UploadState {
  var offset: Int64
  var hasher: DigestHasher
}

extension BlobStore {
  /// Uploads that lie still longer are removed.
  public static let uploadLife = Duration.seconds(24 * 3600)
  /// Most uploads under way at once.
  public static let uploadLimit = 1000

  /// Begins an upload in chunks.
  public func beginUpload() throws(PlatformError) -> UploadID {
    let open = try Files.list(uploadFolder).count { UploadID($0) != nil }
    guard open < Self.uploadLimit else {
      throw PlatformError(
        .resourceExhausted,
        "\(open) uploads are under way, the limit is \(Self.uploadLimit): end some of them")
    }
    let id = UploadID.random()
    let descriptor = Glibc.open(file(id), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw Files.failure("begin an upload") }
    close(descriptor)
    uploads[id] = UploadState(offset: 0, hasher: try DigestHasher())
    return id
  }

  /// Bytes received so far: where a client goes on after a broken connection or a restart of the server.
  public func offset(of id: UploadID) throws(PlatformError) -> Int64 { try state(of: id).offset }

  /// Adds bytes at an offset, answers with the next one. A chunk sent twice (its answer was lost) replaces
  /// itself.
  @discardableResult
  public func append(_ id: UploadID, offset: Int64, _ bytes: [UInt8]) throws(PlatformError) -> Int64 {
    var state = try state(of: id)
    guard offset >= 0, offset <= state.offset else {
      throw .invalid("offset", "offset: \(offset) is beyond what was received; go on at \(state.offset)")
    }
    let descriptor = open(file(id), O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw Files.failure("open upload \(id)") }
    defer { close(descriptor) }
    if offset < state.offset {
      guard ftruncate(descriptor, off_t(offset)) == 0 else { throw Files.failure("shorten upload \(id)") }
      uploads[id] = nil
      state = try rehash(id)
    }
    guard lseek(descriptor, off_t(offset), SEEK_SET) == off_t(offset) else {
      throw Files.failure("seek in upload \(id)")
    }
    do throws(PlatformError) {
      try Files.write(bytes, to: descriptor)
    } catch {
      // The part that was written goes, so that the file is again what was acknowledged.
      if ftruncate(descriptor, off_t(offset)) != 0 { uploads[id] = nil }
      throw error
    }
    state.hasher.update(bytes)
    state.offset = offset + Int64(bytes.count)
    uploads[id] = state
    return state.offset
  }

  /// Makes the upload a blob; it is on the disk when the call returns. A wrong digest ends the upload.
  ///
  /// - Parameter digest: nil: what was received is not compared, its digest is told.
  public func commit(_ id: UploadID, digest wanted: String?) throws(PlatformError) -> BlobReference {
    let state = try state(of: id)
    let found = state.hasher.finish()
    let digest = wanted ?? found
    let target = try path(of: digest)
    uploads[id] = nil
    guard found == digest else {
      unlink(file(id))
      throw Self.mismatch(digest, found: found)
    }
    let descriptor = open(file(id), O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Files.failure("open upload \(id)") }
    defer { close(descriptor) }
    try Files.seal(descriptor, mode: 0o444)
    guard Files.touch(file(id)) else { throw Files.failure("touch upload \(id)") }
    try Files.move(file(id), to: target)
    return BlobReference(digest: digest, size: state.offset)
  }

  /// Gives an upload up; a second time changes nothing.
  public func cancelUpload(_ id: UploadID) {
    uploads[id] = nil
    unlink(file(id))
  }

  /// Removes uploads and temporary files that nobody has touched for a day.
  func removeExpiredUploads(now: Timestamp) throws(PlatformError) {
    for name in try Files.list(uploadFolder) {
      let path = "\(uploadFolder)/\(name)"
      guard let status = Files.status(path), now - Files.modified(status) > Self.uploadLife else { continue }
      if let id = UploadID(name) { uploads[id] = nil }
      unlink(path)
    }
  }

  private func file(_ id: UploadID) -> String { "\(uploadFolder)/\(id)" }

  private func state(of id: UploadID) throws(PlatformError) -> UploadState {
    if let state = uploads[id] { return state }
    return try rehash(id)
  }

  /// Reads what an earlier process received.
  private func rehash(_ id: UploadID) throws(PlatformError) -> UploadState {
    let descriptor = open(file(id), O_RDONLY | O_CLOEXEC)
    if descriptor < 0, errno == ENOENT {
      throw PlatformError(
        .notFound, "upload '\(id)' does not exist (ended, or given up for a day): begin a new one",
        origin: .caller)
    }
    guard descriptor >= 0 else { throw Files.failure("open upload \(id)") }
    defer { close(descriptor) }
    let hasher = try DigestHasher()
    var offset: Int64 = 0
    try Files.chunks(of: descriptor) { (chunk) throws(PlatformError) in
      hasher.update(chunk)
      offset += Int64(chunk.count)
    }
    let state = UploadState(offset: offset, hasher: hasher)
    uploads[id] = state
    return state
  }
}
