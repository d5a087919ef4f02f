import Domain
import Glibc
import Storage
import Testing

@Suite struct DataFolderLockTests {
  @Test func `a data folder is used by one process at a time`() throws {
    let home = try TemporaryFolder()
    let data = home.path + "/data"
    let held = try DataFolderLock(data: data)
    let error = try #require(throws: PlatformError.self) { try DataFolderLock(data: data) }
    #expect(error.code == .failedPrecondition && error.message.contains("process \(getpid())"))
    withExtendedLifetime(held) {}
  }

  @Test func `a lock that was let go can be taken`() throws {
    let home = try TemporaryFolder()
    for _ in 0..<2 { _ = try DataFolderLock(data: home.path) }
  }
}
