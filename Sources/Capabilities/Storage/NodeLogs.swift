public import Domain
import FoundationEssentials
import Glibc

/// The logs of nodes: one JSON-lines file a node under `DATA/logs/NODE/`, appended by its worker and by the service.
///
/// They outlive instances, and the node too: nothing removes them yet. A file above `rotateBytes` becomes `node.1.jsonl`.
public struct NodeLogs: Sendable {
  private let folder: String
  private let rotateBytes: Int

  public init(folder: String, rotateBytes: Int = 64 << 20) {
    self.folder = folder
    self.rotateBytes = rotateBytes
  }

  private func path(_ node: NodeID) -> String { "\(folder)/\(node)/node.jsonl" }

  /// Appends a line of the service. Failing to log never fails the caller.
  public func append(_ node: NodeID, instance: InstanceID?, release: Int, message: String, at now: Timestamp)
  {
    let line = LogLine(
      time: now.description, instance: instance?.text, release: release, requestId: nil, stream: "system",
      message: message)
    guard var bytes = try? Array(JSONEncoder().encode(line)) else { return }
    bytes.append(UInt8(ascii: "\n"))
    _ = mkdir("\(folder)/\(node)", 0o700)
    let file = open(path(node), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { return }
    defer { close(file) }
    _ = bytes.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
  }

  /// Lines after a cursor, or the newest `tail` without one. The cursor names the file by its inode, so that rotation is noticed.
  public func read(_ node: NodeID, after cursor: String?, tail: Int) throws(PlatformError) -> LogPage {
    let file = open(path(node), O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return LogPage(lines: [], cursor: "0-0") }
    defer { close(file) }
    var info = stat()
    fstat(file, &info)
    let size = Int(info.st_size)
    guard let cursor else {
      let from = max(0, size - (4 << 20))
      var lines = parse(readBytes(file, from: from, limit: size - from), skipFirst: from > 0).lines
      lines = Array(lines.suffix(tail))
      return LogPage(lines: lines, cursor: "\(info.st_ino)-\(size)")
    }
    let parts = cursor.split(separator: "-")
    guard parts.count == 2, let inode = UInt(parts[0]), let offset = Int(parts[1]), offset >= 0 else {
      throw .invalid(
        "after", "after: '\(cursor)' is not a cursor of this call; leave it out to start at the newest lines")
    }
    let from = inode == info.st_ino && offset <= size ? offset : 0
    let (lines, used) = parse(readBytes(file, from: from, limit: min(size - from, 1 << 20)), skipFirst: false)
    return LogPage(lines: lines, cursor: "\(info.st_ino)-\(from + used)")
  }

  /// Renames files that have grown too large; writers notice within a second.
  public func rotate(_ node: NodeID) {
    var info = stat()
    guard stat(path(node), &info) == 0, Int(info.st_size) > rotateBytes else { return }
    rename(path(node), "\(folder)/\(node)/node.1.jsonl")
  }

  private func readBytes(_ file: Int32, from: Int, limit: Int) -> [UInt8] {
    guard limit > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
      count = max(0, pread(file, buffer.baseAddress, limit, from))
    }
  }

  /// Whole lines only: the tail of a line being written is left for the next read.
  private func parse(_ bytes: [UInt8], skipFirst: Bool) -> (lines: [LogLine], used: Int) {
    var lines: [LogLine] = []
    var used = 0
    var skip = skipFirst
    let decoder = JSONDecoder()
    while let end = bytes[used...].firstIndex(of: UInt8(ascii: "\n")) {
      if skip {
        skip = false
      } else if let line = try? decoder.decode(LogLine.self, from: Data(bytes[used..<end])) {
        lines.append(line)
      }
      used = end + 1
    }
    return (lines, used)
  }
}
