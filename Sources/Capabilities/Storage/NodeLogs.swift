public import Domain
import FoundationEssentials
import Glibc
import Synchronization

/// The logs of nodes: JSON lines in `DATA/logs/NODE/node.jsonl`, appended by the node's workers and by the service.
///
/// A file that has grown too large is put aside (`node.7.jsonl`, `LogNames`), and the oldest of these are removed. Who
/// follows a log misses nothing as long as the file it reads is there.
/// Cells may write to the folder of their node: nothing but plain files is opened there.
public final class NodeLogs: Sendable {
  private static let names = LogNames("node")
  /// Writers notice within a second that their file was put aside.
  private static let settling = Duration.seconds(2)
  private static let readBytes = 1 << 20
  private static let tailBytes = 4 << 20

  private let folder: String
  private let limits: LogLimits
  /// When files were put aside, for those of the last moments. The lock also keeps a file from being put aside between
  /// the look at its name and its opening.
  private let recent = Mutex<[Place: ContinuousClock.Instant]>([:])

  private struct Place: Hashable {
    var node: NodeID
    var number: Int
  }

  public init(folder: String, limits: LogLimits = LogLimits()) {
    self.folder = folder
    self.limits = limits
  }

  private func folder(_ node: NodeID) -> String { "\(folder)/\(node)" }
  private func path(_ node: NodeID) -> String { "\(folder)/\(node)/\(Self.names.current)" }
  private func path(_ node: NodeID, _ number: Int) -> String {
    "\(folder)/\(node)/\(Self.names.aside(number))"
  }

  // MARK: Writing

  /// Appends a line of the service. Failing to log never fails the caller.
  public func append(_ node: NodeID, instance: InstanceID?, release: Int, message: String, at now: Timestamp)
  {
    let line = LogLine(
      time: now.description, instance: instance?.text, release: release, requestId: nil, stream: "system",
      message: message)
    append(node, line)
  }

  /// Appends a line that an instance wrote.
  public func append(_ node: NodeID, _ line: LogLine) {
    guard var bytes = try? Array(JSONEncoder().encode(line)) else { return }
    bytes.append(UInt8(ascii: "\n"))
    _ = mkdir(folder(node), 0o700)
    let file = Self.open(path(node), O_WRONLY | O_APPEND | O_CREAT)
    guard file >= 0 else { return }
    defer { close(file) }
    _ = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
  }

  /// -1 for what isn't a plain file.
  private static func open(_ path: String, _ flags: Int32) -> Int32 {
    let file = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
    var info = stat()
    guard file >= 0, fstat(file, &info) == 0, info.st_mode & S_IFMT == S_IFREG else {
      if file >= 0 { close(file) }
      return -1
    }
    return file
  }

  /// The time of the newest line that an instance wrote; nil when none is found among the newest.
  public func newestTime(_ node: NodeID, of instance: InstanceID) -> String? {
    let query = LogQuery(
      tail: 1, filter: { { $0.instance == instance.text && $0.stream != "system" } })
    return (try? read(node, query))?.lines.last { $0.instance == instance.text }?.time
  }

  // MARK: Rotation and retention

  /// Puts files aside that have grown too large, and removes the oldest of each node. Cheap: to be called every second or two.
  public func rotate() { for node in nodes() { rotate(node) } }

  func rotate(_ node: NodeID) {
    var info = stat()
    guard lstat(path(node), &info) == 0, Int(info.st_size) > limits.fileBytes else { return }
    recent.withLock { recent in
      let now = ContinuousClock.now
      recent = recent.filter { now - $0.value < Self.settling }
      var numbers = self.numbers(node)
      let next = (numbers.last ?? 0) + 1
      guard rename(path(node), path(node, next)) == 0 else { return }
      numbers.append(next)
      recent[Place(node: node, number: next)] = now
      for old in numbers.dropLast(limits.files) { unlink(path(node, old)) }
    }
  }

  /// The nodes that have a log.
  public func nodes() -> Set<NodeID> { Set(Self.list(folder).compactMap { NodeID($0) }) }

  /// Removes logs of deleted nodes that are too old, then the oldest of those that are too much. Returns how many.
  public func retain(deleted: Set<NodeID>, at now: Timestamp) -> Int {
    var removed = 0
    var total: Int64 = 0
    for (node, size) in deleted.map({ ($0, size($0)) }).sorted(by: { $0.1.newest > $1.1.newest }) {
      total += size.bytes
      guard total > limits.deletedBytes || now - size.newest > limits.deletedAge else { continue }
      total -= size.bytes
      if (try? FileManager.default.removeItem(atPath: folder(node))) != nil { removed += 1 }
    }
    return removed
  }

  /// Removes files put aside that are too old, then the oldest of those of each folder that has too much. Returns how many.
  ///
  /// What is written to now stays: `rotate` bounds it.
  public func retain(folders: [NodeID: FolderID], at now: Timestamp) -> Int {
    struct Aside {
      var path: String
      var bytes: Int64
      var writtenAt: Timestamp
    }
    var removed = 0
    var sizes: [FolderID: Int64] = [:]
    var aside: [FolderID: [Aside]] = [:]
    for (node, folder) in folders {
      for name in Self.list(self.folder(node)) {
        var info = stat()
        let path = "\(self.folder(node))/\(name)"
        guard lstat(path, &info) == 0 else { continue }
        let file = Aside(path: path, bytes: Int64(info.st_size), writtenAt: Self.writtenAt(info))
        let isAside = !Self.names.numbers(among: [name]).isEmpty
        if isAside, now - file.writtenAt > limits.age, unlink(path) == 0 {
          removed += 1
          continue
        }
        sizes[folder, default: 0] += file.bytes
        if isAside { aside[folder, default: []].append(file) }
      }
    }
    for (folder, files) in aside {
      var total = sizes[folder] ?? 0
      for file in files.sorted(by: { $0.writtenAt < $1.writtenAt }) where total > limits.folderBytes {
        guard unlink(file.path) == 0 else { continue }
        total -= file.bytes
        removed += 1
      }
    }
    return removed
  }

  private static func writtenAt(_ info: stat) -> Timestamp {
    Timestamp(
      microseconds: Int64(info.st_mtim.tv_sec) * 1_000_000 + Int64(info.st_mtim.tv_nsec) / 1000)
  }

  /// Bytes of a node's log; nil when there is none.
  public func bytes(of node: NodeID) -> Int64? {
    let (bytes, newest) = size(node)
    return newest.microseconds == 0 ? nil : bytes
  }

  /// Bytes of a node's log and when it was last written to.
  private func size(_ node: NodeID) -> (bytes: Int64, newest: Timestamp) {
    var bytes: Int64 = 0
    var newest = Timestamp(microseconds: 0)
    for name in Self.list(folder(node)) {
      var info = stat()
      guard lstat("\(folder(node))/\(name)", &info) == 0 else { continue }
      bytes += Int64(info.st_size)
      newest = max(newest, Self.writtenAt(info))
    }
    return (bytes, newest)
  }

  private static func list(_ folder: String) -> [String] {
    (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
  }

  private func numbers(_ node: NodeID) -> [Int] { Self.names.numbers(among: Self.list(folder(node))) }

  // MARK: Reading

  /// A file of a log, open to be read.
  private struct Source {
    /// -1: it isn't there.
    var file: Int32
    var number: Int
    /// Nothing is written to it any more.
    var isSettled: Bool
  }

  /// Lines after a cursor, or the newest `tail` without one. The cursor is the number of a file and an offset in it.
  public func read(_ node: NodeID, after cursor: String?, tail: Int) throws(PlatformError) -> LogPage {
    guard let cursor else { return newest(node, tail) }
    let parts = cursor.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, var number = Int(parts[0]), var offset = Int(parts[1]), number >= 0, offset >= 0
    else {
      throw .invalid(
        "after", "after: '\(cursor)' is not a cursor of this call; leave it out to start at the newest lines")
    }
    var lines: [LogLine] = []
    while true {
      let (source, isNewest) = self.source(node, number)
      defer { if source.file >= 0 { close(source.file) } }
      let wasLost = source.number > number
      if source.number != number { (number, offset) = (source.number, 0) }
      let size = Self.size(source.file)
      // Truncated by hand.
      if offset > size { offset = 0 }
      let chunk = Self.read(source.file, from: offset, limit: min(size - offset, Self.readBytes))
      let (found, used) = Self.parse(chunk, skipFirst: false)
      let isAtEnd = offset + chunk.count >= size
      // No line of a worker is that long.
      offset += used == 0 && chunk.count == Self.readBytes ? chunk.count : used
      if wasLost { lines.append(Self.lost(before: found.first)) }
      lines += found
      guard lines.isEmpty, isAtEnd, source.isSettled, !isNewest else {
        return LogPage(lines: lines, cursor: "\(number)-\(offset)")
      }
      (number, offset) = (number + 1, 0)
    }
  }

  /// Said in place of lines that were removed before they were read.
  private static func lost(before next: LogLine?) -> LogLine {
    LogLine(
      time: next?.time ?? "", stream: "system",
      message: "older lines were removed (--log-files, --log-file-size) before they were read here")
  }

  /// Opens a file of a log by its number, or the nearest there is; `isNewest` for the one that is written to.
  private func source(_ node: NodeID, _ wanted: Int) -> (source: Source, isNewest: Bool) {
    recent.withLock { recent in
      let numbers = self.numbers(node)
      let current = (numbers.last ?? 0) + 1
      let number = wanted >= current ? current : numbers.first { $0 >= wanted } ?? current
      let file = Self.open(number == current ? path(node) : path(node, number), O_RDONLY)
      let aside = recent[Place(node: node, number: number)]
      let isSettled = number != current && aside.map { ContinuousClock.now - $0 > Self.settling } ?? true
      return (Source(file: file, number: number, isSettled: isSettled), number == current)
    }
  }

  /// A file of a log by its number, the one that is written to included; nil when it isn't there.
  func openLog(_ node: NodeID, _ number: Int) -> (descriptor: Int32, size: Int, writtenAt: Timestamp)? {
    let (source, _) = source(node, number)
    var info = stat()
    guard source.file >= 0 else { return nil }
    guard source.number == number, fstat(source.file, &info) == 0 else {
      close(source.file)
      return nil
    }
    return (source.file, Int(info.st_size), Self.writtenAt(info))
  }

  private func newest(_ node: NodeID, _ tail: Int) -> LogPage {
    var (source, _) = self.source(node, .max)
    var lines: [LogLine] = []
    var cursor: String?
    while true {
      let size = Self.size(source.file)
      let from = max(0, size - Self.tailBytes)
      let (found, used) = Self.parse(
        Self.read(source.file, from: from, limit: size - from), skipFirst: from > 0)
      if source.file >= 0 { close(source.file) }
      let number = source.number
      lines = found + lines
      if cursor == nil { cursor = "\(number)-\(from + used)" }
      let (before, isNewest) = self.source(node, number - 1)
      guard !isNewest, before.number < number else {
        if before.file >= 0 { close(before.file) }
        break
      }
      if !before.isSettled {
        // It may still get lines: who goes on from here must not miss them. The rest is read after it.
        (lines, cursor) = ([], nil)
      } else if lines.count >= tail {
        if before.file >= 0 { close(before.file) }
        break
      }
      source = before
    }
    return LogPage(lines: Array(lines.suffix(tail)), cursor: cursor ?? "0-0")
  }

  private static func size(_ file: Int32) -> Int {
    var info = stat()
    return file >= 0 && fstat(file, &info) == 0 ? Int(info.st_size) : 0
  }

  private static func read(_ file: Int32, from: Int, limit: Int) -> [UInt8] {
    guard limit > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
      count = max(0, pread(file, buffer.baseAddress, limit, from))
    }
  }

  /// Whole lines only: the tail of a line being written is left for the next read.
  private static func parse(_ bytes: [UInt8], skipFirst: Bool) -> (lines: [LogLine], used: Int) {
    var lines: [LogLine] = []
    var used = 0
    var skip = skipFirst
    while let end = bytes[used...].firstIndex(of: UInt8(ascii: "\n")) {
      if skip {
        skip = false
      } else if let line = LogLineReader.line(bytes[used..<end]) {
        lines.append(line)
      }
      used = end + 1
    }
    return (lines, used)
  }
}
