import Domain
import Glibc
import Testing

@testable import Storage

@Suite struct RecordingRingTests {
  private func read(_ ring: RecordingRing) throws -> [(segment: Int, at: Int64, text: String)] {
    var found: [(segment: Int, at: Int64, text: String)] = []
    try ring.each { segment, at, bytes in
      found.append((segment, at.microseconds, String(decoding: bytes, as: UTF8.self)))
    }
    return found
  }

  private func add(_ ring: RecordingRing, _ text: String, at: Int64, most: Int = 1 << 20) throws {
    let bytes = Array(text.utf8)
    _ = try ring.segment(for: bytes.count, most: most)
    try ring.append(bytes, at: Timestamp(microseconds: at), most: most)
  }

  @Test func `what was added is there, also for the next process, which begins a file of its own`() throws {
    let home = try TemporaryFolder()
    let first = try RecordingRing(folder: home.path + "/all/one")
    try add(first, "a", at: 1)
    try add(first, "", at: 2)
    let second = try RecordingRing(folder: home.path + "/all/one")
    #expect(second.count == 2 && second.bytes == first.bytes)
    try add(second, "b", at: 3)
    let found = try read(try RecordingRing(folder: home.path + "/all/one"))
    #expect(found.map(\.text) == ["a", "", "b"])
    #expect(found.map(\.at) == [1, 2, 3])
    #expect(found.map(\.segment) == [1, 1, 2])
    #expect(second.oldest?.microseconds == 1 && second.newest?.microseconds == 3)
  }

  @Test func `two processes have files of their own`() throws {
    let home = try TemporaryFolder()
    let old = try RecordingRing(folder: home.path + "/one")
    let new = try RecordingRing(folder: home.path + "/one")
    for index in 0..<20 { try add(index % 2 == 0 ? old : new, "\(index)", at: Int64(index)) }
    #expect(try read(old).map(\.text) == (0..<10).map { "\($0 * 2)" })
    #expect(try read(try RecordingRing(folder: home.path + "/one")).count == 20)
  }

  @Test func `the oldest go first, and never more than the limit is kept`() throws {
    let home = try TemporaryFolder()
    let ring = try RecordingRing(folder: home.path + "/one")
    for index in 0..<400 {
      try add(ring, "\(index) " + String(repeating: "x", count: 300), at: Int64(index), most: 40_000)
      #expect(ring.bytes <= 40_000)
    }
    let found = try read(ring)
    #expect(found.count == ring.count && found.count > 50)
    #expect(found.map(\.at) == Array((400 - Int64(found.count))..<400))
    let path = home.path + "/one"
    #expect(try #require(Files.status(path)).st_mode & 0o777 == 0o700)
  }

  @Test func `what is too old goes`() throws {
    let home = try TemporaryFolder()
    let ring = try RecordingRing(folder: home.path + "/one")
    for index in 0..<100 {
      try add(ring, String(repeating: "x", count: 1000), at: Int64(index), most: 1 << 15)
    }
    ring.drop(before: Timestamp(microseconds: 99))
    #expect(ring.count > 0 && ring.newest?.microseconds == 99)
    ring.drop(before: Timestamp(microseconds: 100))
    #expect(ring.count == 0)
    try add(ring, "new", at: 200)
    #expect(try read(ring).map(\.text) == ["new"])
    ring.clear()
    #expect(try read(ring).isEmpty)
    #expect(try Files.list(home.path + "/one").isEmpty)
  }

  @Test func `a record that was cut short is not there`() throws {
    let home = try TemporaryFolder()
    let ring = try RecordingRing(folder: home.path + "/one")
    try add(ring, "whole", at: 1)
    try add(ring, "cut", at: 2)
    let path = home.path + "/one/00000001.rec"
    let bytes = try #require(try Files.read(path, limit: 1 << 20))
    for count in 0..<bytes.count {
      try Files.replace(path, with: Array(bytes.prefix(count)), through: path + ".tmp", mode: 0o600)
      let found = try read(try RecordingRing(folder: home.path + "/one")).map(\.text)
      #expect(found == (count >= 17 ? ["whole"] : []))
      // Opening removes a file without records.
      try Files.replace(path, with: bytes, through: path + ".tmp", mode: 0o600)
    }
  }
}
