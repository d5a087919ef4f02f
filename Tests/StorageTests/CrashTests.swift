import Domain
import Glibc
import Storage
import Testing

@Suite struct CrashTests {
  /// A process writes records and says so after each; another thread of it kills it in the middle of a write.
  @Test func `what was acknowledged before a SIGKILL is there after it`() async throws {
    let home = try TemporaryFolder()
    let path = home.path
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
      let store = try Store(path: path + "/roost.db")
      let log = open(path + "/acknowledged", O_WRONLY | O_CREAT | O_APPEND, 0o600)
      let killer = Task.detached {
        var status = stat()
        // 21 bytes a line: die some time after the hundredth acknowledgement, whatever is being written then.
        while stat(path + "/acknowledged", &status) != 0 || status.st_size < 2100 {}
        kill(getpid(), SIGKILL)
      }
      for number in 0..<1_000_000 {
        let record = FolderRecord(
          id: .random(), name: "folder-\(number)", createdAt: Timestamp(seconds: 1))
        try await store.createFolder(record)
        let line = Array("\(record.id)\n".utf8)
        guard write(log, line, line.count) == line.count else { break }
      }
      await killer.value
    }
    let bytes = try #require(try readAll(path + "/acknowledged"))
    let acknowledged = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    #expect(acknowledged.count >= 100)
    let store = try Store(path: path + "/roost.db")
    var missing = 0
    for text in acknowledged {
      let id = try #require(FolderID(text))
      if try await store.folder(id) == nil { missing += 1 }
    }
    print("acknowledged before the kill: \(acknowledged.count), missing after it: \(missing)")
    #expect(missing == 0)
  }
}

private func readAll(_ path: String) throws -> [UInt8]? {
  let descriptor = open(path, O_RDONLY)
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  var result: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65536)
  while true {
    let count = read(descriptor, &buffer, buffer.count)
    guard count > 0 else { return result }
    result += buffer[..<count]
  }
}
