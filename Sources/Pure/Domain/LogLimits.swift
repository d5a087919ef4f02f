/// How much of logs is kept.
public struct LogLimits: Sendable, Equatable {
  /// A log above this is put aside under a number, in bytes.
  public var fileBytes: Int
  /// So many files that were put aside are kept of each log; at least 1.
  public var files: Int
  /// How long files that were put aside are kept, since their last line.
  public var age: Duration
  /// How much is kept of all logs of one folder's nodes, in bytes; of those that were put aside the oldest go first.
  public var folderBytes: Int64
  /// How long the logs of a deleted node are kept.
  public var deletedAge: Duration
  /// How much is kept of the logs of deleted nodes together, in bytes; the oldest go first.
  public var deletedBytes: Int64

  public init(
    fileBytes: Int = 64 << 20, files: Int = 4, age: Duration = .seconds(30 * 86400),
    folderBytes: Int64 = 10 << 30, deletedAge: Duration = .seconds(30 * 86400), deletedBytes: Int64 = 1 << 30
  ) {
    self.fileBytes = max(1, fileBytes)
    self.files = max(1, files)
    self.age = age
    self.folderBytes = folderBytes
    self.deletedAge = deletedAge
    self.deletedBytes = deletedBytes
  }
}

/// Names of the files of one log: `NAME.jsonl` is written to, `NAME.7.jsonl` was put aside as the 7th.
///
/// Numbers rise and are never used twice, so that a reader can tell where it stopped.
public struct LogNames: Sendable {
  public let name: String

  public init(_ name: String) { self.name = name }

  public var current: String { "\(name).jsonl" }

  public func aside(_ number: Int) -> String { "\(name).\(number).jsonl" }

  /// The numbers of the files put aside among these names of a folder, rising.
  public func numbers(among files: [String]) -> [Int] {
    files.compactMap { file in
      guard file.hasPrefix(name + "."), file.hasSuffix(".jsonl"), file.utf8.count > name.utf8.count + 7 else {
        return nil
      }
      return Int(file.dropFirst(name.utf8.count + 1).dropLast(6)).flatMap { $0 > 0 ? $0 : nil }
    }.sorted()
  }
}
