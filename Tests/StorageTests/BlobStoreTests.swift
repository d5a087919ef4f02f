import Domain
import FoundationEssentials
import Glibc
import Testing

@testable import Storage

@Suite struct BlobStoreTests {
  let home: TemporaryFolder
  let store: BlobStore

  init() throws {
    home = try TemporaryFolder()
    store = try BlobStore(data: home.path)
  }

  private func put(_ text: String) async throws -> BlobReference {
    let bytes = Array(text.utf8)
    let digest = try DigestHasher.digest(of: bytes)
    try await store.put(digest, bytes)
    return BlobReference(digest: digest, size: Int64(bytes.count))
  }

  private func damage(_ digest: String) throws {
    let path = try store.path(of: digest)
    #expect(chmod(path, 0o644) == 0)
    try Data("other".utf8).write(to: URL(filePath: path))
  }

  /// Makes a file look older than it is.
  private func age(_ path: String, by seconds: Int) throws {
    var times = [timespec(), timespec()]
    let now = time(nil)
    for index in times.indices { times[index].tv_sec = now - seconds }
    #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
  }

  private var now: Timestamp { Timestamp(seconds: Int64(time(nil))) }

  @Test func `a blob is kept read-only under its digest`() async throws {
    let blob = try await put("hello")
    #expect(blob.digest == "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")
    #expect(try store.size(of: blob.digest) == 5)
    #expect(try await store.read(blob.digest) == Array("hello".utf8))
    let status = try #require(Files.status(try store.path(of: blob.digest)))
    #expect(status.st_mode & 0o777 == 0o444)
    let other = "sha256:" + String(repeating: "0", count: 64)
    #expect(try store.missing([blob.digest, other]) == [other])
    #expect(try Files.list(store.uploadFolder).isEmpty)
  }

  @Test func `bytes that do not match are refused with both digests`() async throws {
    let wrong = "sha256:" + String(repeating: "a", count: 64)
    let error = try await #require(throws: PlatformError.self) { try await store.put(wrong, [1]) }
    #expect(error.code == .invalidArgument && error.field == "digest")
    #expect(error.message.contains(wrong))
    #expect(error.message.contains(try DigestHasher.digest(of: [1])))
  }

  @Test(arguments: ["", "sha256:", "md5:00", "sha256:../../../../etc/passwd", "sha256:ABC"])
  func `malformed digests never reach the file system`(digest: String) throws {
    let error = try #require(throws: PlatformError.self) { try store.path(of: digest) }
    #expect(error.code == .invalidArgument)
  }

  @Test func `a damaged blob is found, set aside and can be uploaded again`() async throws {
    let blob = try await put("precious")
    try await store.verify(blob.digest)
    try damage(blob.digest)
    let error = try await #require(throws: PlatformError.self) { try await store.verify(blob.digest) }
    #expect(error.code == .dataLoss && error.message.contains(blob.digest))
    #expect(try store.missing([blob.digest]) == [blob.digest])
    #expect(Files.status("\(home.path)/damaged/\(blob.digest.dropFirst(7))") != nil)
    _ = try await put("precious")
    try await store.verify(blob.digest)
  }

  @Test func `reading a damaged blob never gives wrong bytes`() async throws {
    let blob = try await put("precious")
    try damage(blob.digest)
    let error = try await #require(throws: PlatformError.self) { try await store.read(blob.digest) }
    #expect(error.code == .dataLoss)
  }

  @Test func `an upload goes on after a restart and after a lost answer`() async throws {
    let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let digest = try DigestHasher.digest(of: bytes)
    let id = try await store.beginUpload()
    #expect(try await store.append(id, offset: 0, Array(bytes[..<1_000_000])) == 1_000_000)
    #expect(try await store.append(id, offset: 1_000_000, Array(bytes[1_000_000..<1_500_000])) == 1_500_000)
    let restarted = try BlobStore(data: home.path)
    #expect(try await restarted.offset(of: id) == 1_500_000)
    #expect(
      try await restarted.append(id, offset: 1_000_000, Array(bytes[1_000_000..<2_000_000])) == 2_000_000)
    #expect(try await restarted.append(id, offset: 2_000_000, Array(bytes[2_000_000...])) == 3_000_000)
    #expect(try await restarted.commit(id, digest: digest) == BlobReference(digest: digest, size: 3_000_000))
    try await restarted.verify(digest)
    let error = try await #require(throws: PlatformError.self) { try await restarted.offset(of: id) }
    #expect(error.code == .notFound)
  }

  @Test func `a gap in an upload names the offset to go on at`() async throws {
    let id = try await store.beginUpload()
    try await store.append(id, offset: 0, [1, 2, 3])
    let error = try await #require(throws: PlatformError.self) { try await store.append(id, offset: 4, [1]) }
    #expect(error.field == "offset" && error.message.contains("go on at 3"))
  }

  @Test func `an upload with a wrong digest is ended`() async throws {
    let id = try await store.beginUpload()
    try await store.append(id, offset: 0, [1, 2, 3])
    let wrong = "sha256:" + String(repeating: "b", count: 64)
    let error = try await #require(throws: PlatformError.self) { try await store.commit(id, digest: wrong) }
    #expect(error.code == .invalidArgument && error.message.contains(wrong))
    #expect(try Files.list(store.uploadFolder).isEmpty)
  }

  @Test func `garbage collection keeps what is referenced and what is young`() async throws {
    let (used, young, old) = (try await put("used"), try await put("young"), try await put("old"))
    let upload = try await store.beginUpload()
    for blob in [used, old] { try age(try store.path(of: blob.digest), by: 7200) }
    try age("\(home.path)/uploads/\(upload)", by: 90000)
    let result = try await store.collectGarbage(referenced: [used.digest], now: now)
    #expect(result.removed == 1 && result.bytes == 3)
    let all = [used.digest, young.digest, old.digest]
    #expect(try store.missing(all) == [old.digest])
    #expect(try Files.list(store.uploadFolder).isEmpty)
  }

  @Test func `asking for a blob keeps it for another hour`() async throws {
    let blob = try await put("asked for")
    try age(try store.path(of: blob.digest), by: 7200)
    #expect(try store.missing([blob.digest]).isEmpty)
    #expect(try await store.collectGarbage(referenced: [], now: now).removed == 0)
  }

  @Test func `a clock that jumps back collects nothing too early`() async throws {
    let blob = try await put("kept")
    #expect(try await store.collectGarbage(referenced: [], now: now + .seconds(-86400)).removed == 0)
    #expect(try store.missing([blob.digest]).isEmpty)
  }
}
