import Domain
import Glibc
import Testing

@testable import Storage

/// A small file system of its own, so that it can be filled. Needs root.
final class SmallDisk: Sendable {
  let folder: TemporaryFolder
  var path: String { folder.path }

  init?(bytes: Int) throws {
    folder = try TemporaryFolder()
    guard mount("tmpfs", folder.path, "tmpfs", 0, "size=\(bytes)") == 0 else {
      print("skipped: a small file system can't be mounted here (\(String(cString: strerror(errno))))")
      return nil
    }
  }

  deinit { umount2(folder.path, Int32(MNT_DETACH)) }

  /// Fills the rest with a file, or frees it again.
  func fill() {
    let descriptor = open(path + "/ballast", O_WRONLY | O_CREAT | O_APPEND, 0o600)
    defer { close(descriptor) }
    for size in [65536, 4096, 1] {
      let block = [UInt8](repeating: 1, count: size)
      while write(descriptor, block, size) == size {}
    }
  }

  func free() { unlink(path + "/ballast") }
}

@Suite struct FullDiskTests {
  @Test func `a full disk refuses changes, keeps serving, and recovers`() async throws {
    guard let disk = try SmallDisk(bytes: 4 << 20) else { return }
    let store = try Store(path: disk.path + "/roost.db")
    let folder = FolderRecord(id: .random(), name: "before", createdAt: start)
    try await store.createFolder(folder)
    disk.fill()
    let text = String(repeating: "x", count: 1 << 20)
    let error = try await #require(throws: PlatformError.self) { try await store.setSetting("big", text) }
    #expect(error.code == .resourceExhausted)
    #expect(error.message.contains("the disk that holds the data folder is full"))
    #expect(error.message.contains("nothing was changed"))
    #expect(try await store.setting("big") == nil)
    #expect(try await store.folder(folder.id) == folder)
    disk.free()
    try await store.setSetting("big", text)
    #expect(try await store.setting("big") == text)
  }

  @Test func `a transaction that meets a full disk is undone whole`() async throws {
    guard let disk = try SmallDisk(bytes: 4 << 20) else { return }
    let store = try Store(path: disk.path + "/roost.db")
    disk.fill()
    let error = try await #require(throws: PlatformError.self) {
      try await store.atomically { (store) throws(PlatformError) in
        try store.setSetting("small", "1")
        try store.setSetting("big", String(repeating: "x", count: 3 << 20))
      }
    }
    #expect(error.code == .resourceExhausted)
    disk.free()
    #expect(try await store.setting("small") == nil)
    try await store.setSetting("small", "2")
  }

  @Test func `a blob that does not fit leaves no trace`() async throws {
    guard let disk = try SmallDisk(bytes: 2 << 20) else { return }
    let store = try BlobStore(data: disk.path)
    let bytes = [UInt8](repeating: 7, count: 3 << 20)
    let digest = try DigestHasher.digest(of: bytes)
    let error = try await #require(throws: PlatformError.self) { try await store.put(digest, bytes) }
    #expect(error.code == .resourceExhausted)
    #expect(try store.missing([digest]) == [digest])
    #expect(try Files.list(store.uploadFolder).isEmpty)
  }

  @Test func `an upload that meets a full disk goes on when there is room`() async throws {
    guard let disk = try SmallDisk(bytes: 2 << 20) else { return }
    let store = try BlobStore(data: disk.path)
    let bytes = [UInt8](repeating: 7, count: 1 << 20)
    let id = try await store.beginUpload()
    try await store.append(id, offset: 0, Array(bytes[..<1000]))
    disk.fill()
    let error = try await #require(throws: PlatformError.self) {
      try await store.append(id, offset: 1000, Array(bytes[1000...]))
    }
    #expect(error.code == .resourceExhausted)
    #expect(try await store.offset(of: id) == 1000)
    disk.free()
    try await store.append(id, offset: 1000, Array(bytes[1000...]))
    let digest = try DigestHasher.digest(of: bytes)
    #expect(try await store.commit(id, digest: digest).size == 1 << 20)
  }
}
