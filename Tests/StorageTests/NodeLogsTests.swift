import Domain
import FoundationEssentials
import Glibc
import Testing

@testable import Storage

/// A folder of logs with limits so small that every line or two make a new file.
private struct Bench {
  let home: TemporaryFolder
  let logs: NodeLogs
  let node = NodeID.random()
  var file: String { "\(home.path)/\(node)/node.jsonl" }
  var files: [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: "\(home.path)/\(node)").sorted()) ?? []
  }

  init(_ limits: LogLimits = LogLimits(fileBytes: 100, files: 3)) throws {
    home = try TemporaryFolder()
    logs = NodeLogs(folder: home.path, limits: limits)
  }

  func write(_ message: String, to node: NodeID? = nil) {
    logs.append(node ?? self.node, instance: nil, release: 1, message: message, at: start)
  }

  /// As a worker that hasn't noticed yet that its file was put aside.
  func writeLate(_ message: String, to name: String) throws {
    let line = "{\"time\":\"t\",\"stream\":\"stdout\",\"message\":\"\(message)\"}\n"
    let handle = open("\(home.path)/\(node)/\(name)", O_WRONLY | O_APPEND)
    #expect(handle >= 0)
    _ = line.withCString { Glibc.write(handle, $0, strlen($0)) }
    close(handle)
  }

  /// All that a follower gets from a cursor on until there is no more.
  func follow(_ cursor: String) throws -> (messages: [String], cursor: String) {
    var (messages, cursor): ([String], String) = ([], cursor)
    while true {
      let page = try logs.read(node, after: cursor, tail: 100)
      messages += page.lines.map(\.message)
      if page.lines.isEmpty, page.cursor == cursor { return (messages, cursor) }
      cursor = page.cursor
    }
  }
}

private let long = String(repeating: "x", count: 100)

struct NodeLogsTests {
  @Test func aFollowerGetsEveryLineOnceThoughFilesArePutAside() async throws {
    let bench = try Bench(LogLimits(fileBytes: 100, files: 50))
    bench.write("0 " + long)
    var cursor = try bench.logs.read(bench.node, after: nil, tail: 10).cursor
    var seen: [String] = []
    for index in 1...20 {
      bench.write("\(index) " + long)
      if index % 2 == 0 { bench.logs.rotate() }
      if index % 3 == 0 {
        let (messages, next) = try bench.follow(cursor)
        seen += messages
        cursor = next
      }
    }
    let deadline = ContinuousClock.now + .seconds(60)
    var isLast = false
    while seen.count < 20, !isLast {
      // Looked at once more after the deadline: on a busy machine the sleep may be longer than it.
      isLast = ContinuousClock.now > deadline
      let (messages, next) = try bench.follow(cursor)
      seen += messages
      cursor = next
      try await Task.sleep(for: .milliseconds(20))
    }
    #expect(seen == (1...20).map { "\($0) \(long)" })
    #expect(bench.files.count == 11 || bench.files.count == 10)
  }

  @Test func linesOfAWriterThatHasNotNoticedTheRotationAreRead() throws {
    let bench = try Bench()
    bench.write("first " + long)
    let cursor = try bench.logs.read(bench.node, after: nil, tail: 10).cursor
    bench.logs.rotate()
    bench.write("new file")
    #expect(try bench.follow(cursor).messages == [])
    try bench.writeLate("late", to: "node.1.jsonl")
    let (messages, next) = try bench.follow(cursor)
    #expect(messages == ["late"])
    // Another server, or this one some seconds later: the file is settled.
    let later = NodeLogs(folder: bench.home.path, limits: LogLimits(fileBytes: 100))
    #expect(try later.read(bench.node, after: next, tail: 10).lines.map(\.message) == ["new file"])
  }

  @Test func theNewestLinesAreTakenFromFilesPutAsideToo() throws {
    let bench = try Bench()
    for index in 1...3 {
      bench.write("\(index) " + long)
      bench.logs.rotate()
    }
    bench.write("4")
    let later = NodeLogs(folder: bench.home.path)
    let page = try later.read(bench.node, after: nil, tail: 3)
    #expect(page.lines.map { $0.message.prefix(1) } == ["2", "3", "4"])
    #expect(page.cursor.hasPrefix("4-"))
    bench.write("5")
    #expect(try later.read(bench.node, after: page.cursor, tail: 3).lines.map(\.message) == ["5"])
  }

  @Test func theOldestFilesGoAndNumbersAreNeverUsedTwice() throws {
    let bench = try Bench()
    for index in 1...6 {
      bench.write("\(index) " + long)
      bench.logs.rotate()
    }
    #expect(bench.files == ["node.4.jsonl", "node.5.jsonl", "node.6.jsonl"])
    let later = NodeLogs(folder: bench.home.path)
    let page = try later.read(bench.node, after: "1-0", tail: 10)
    #expect(page.lines.first?.message.contains("were removed") == true)
    #expect(page.lines.last?.message.hasPrefix("4 ") == true)
  }

  @Test func theTailOfALineThatIsBeingWrittenIsReadOnceItIsWhole() throws {
    let bench = try Bench(LogLimits())
    bench.write("whole")
    let handle = open(bench.file, O_WRONLY | O_APPEND)
    defer { close(handle) }
    let half = "{\"time\":\"t\",\"stream\":\"stdout\",\"mess"
    _ = half.withCString { Glibc.write(handle, $0, strlen($0)) }
    let page = try bench.logs.read(bench.node, after: nil, tail: 10)
    #expect(page.lines.map(\.message) == ["whole"])
    _ = "age\":\"second\"}\n".withCString { Glibc.write(handle, $0, strlen($0)) }
    #expect(try bench.follow(page.cursor).messages == ["second"])
  }

  @Test func whatACellPutsInThePlaceOfItsLogIsNeitherReadNorWritten() throws {
    let bench = try Bench()
    bench.write("mine")
    let secret = bench.home.path + "/secret.jsonl"
    let line = "{\"time\":\"t\",\"stream\":\"stdout\",\"message\":\"secret\"}\n"
    try line.write(toFile: secret, atomically: false, encoding: .utf8)
    for replace in [{ symlink(secret, bench.file) == 0 }, { mkfifo(bench.file, 0o600) == 0 }] {
      unlink(bench.file)
      #expect(replace())
      bench.write("into the other file")
      #expect(try bench.logs.read(bench.node, after: nil, tail: 10).lines.isEmpty)
      #expect(try bench.logs.read(bench.node, after: "1-0", tail: 10).lines.isEmpty)
    }
    #expect(try String(contentsOfFile: secret, encoding: .utf8) == line)
  }

  @Test func logsOfDeletedNodesGoByAgeAndBySize() throws {
    let bench = try Bench(LogLimits(deletedAge: .seconds(3600), deletedBytes: 400))
    let nodes = (0..<4).map { _ in NodeID.random() }
    for (index, node) in nodes.enumerated() {
      bench.write(long, to: node)
      // The first is the newest.
      let age = time_t(index == 3 ? 4000 : index * 100)
      let written = timespec(tv_sec: 1_800_000_000 - age, tv_nsec: 0)
      var times = [written, written]
      #expect(utimensat(AT_FDCWD, "\(bench.home.path)/\(node)/node.jsonl", &times, 0) == 0)
    }
    let living = NodeID.random()
    bench.write(long, to: living)
    #expect(bench.logs.nodes() == Set(nodes + [living]))
    #expect(bench.logs.retain(deleted: Set(nodes), at: start) == 2)
    #expect(bench.logs.nodes() == [nodes[0], nodes[1], living])
  }

  @Test func filesPutAsideGoByAgeAndByTheSizeOfTheirFoldersLogs() throws {
    let bench = try Bench(LogLimits(age: .seconds(3600), folderBytes: 1000))
    let (crowded, roomy) = (FolderID.random(), FolderID.random())
    let nodes = (0..<3).map { _ in NodeID.random() }
    let folders = [nodes[0]: crowded, nodes[1]: crowded, nodes[2]: roomy]
    func put(_ node: NodeID, _ name: String, bytes: Int, age: Int) throws {
      let path = "\(bench.home.path)/\(node)/\(name)"
      try String(repeating: "x", count: bytes).write(toFile: path, atomically: false, encoding: .utf8)
      let written = timespec(tv_sec: 1_800_000_000 - time_t(age), tv_nsec: 0)
      var times = [written, written]
      #expect(utimensat(AT_FDCWD, path, &times, 0) == 0)
    }
    for node in nodes { bench.write(long, to: node) }
    for node in nodes { try put(node, "node.jsonl", bytes: 300, age: 5000) }
    try put(nodes[0], "node.1.jsonl", bytes: 300, age: 400)
    try put(nodes[0], "node.2.jsonl", bytes: 300, age: 200)
    try put(nodes[1], "node.7.jsonl", bytes: 300, age: 300)
    try put(nodes[2], "node.1.jsonl", bytes: 300, age: 4000)
    try put(nodes[2], "node.2.jsonl", bytes: 300, age: 3000)
    // Of 1500 bytes the two oldest files go; the other folder loses what is too old. What is written to stays.
    #expect(bench.logs.retain(folders: folders, at: start) == 3)
    func left(_ node: NodeID) throws -> Set<String> {
      Set(try FileManager.default.contentsOfDirectory(atPath: "\(bench.home.path)/\(node)"))
    }
    #expect(try left(nodes[0]) == ["node.jsonl", "node.2.jsonl"])
    #expect(try left(nodes[1]) == ["node.jsonl"])
    #expect(try left(nodes[2]) == ["node.jsonl", "node.2.jsonl"])
    #expect(bench.logs.bytes(of: nodes[0]) == 600)
    #expect(bench.logs.bytes(of: .random()) == nil)
    #expect(bench.logs.retain(folders: folders, at: start) == 0)
  }

  @Test func aCursorThatIsNoneIsRefused() throws {
    let bench = try Bench()
    for cursor in ["", "1", "a-1", "1--1", "-1-0", "1-2-3"] {
      #expect(throws: PlatformError.self) { _ = try bench.logs.read(bench.node, after: cursor, tail: 1) }
    }
  }
}
