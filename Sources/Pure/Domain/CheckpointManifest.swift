/// The manifest of a checkpoint (`docs/formats/checkpoint.md`): all that the service knows of a saved state.
public struct CheckpointManifest: Sendable, Codable {
  public static let formatVersion = 1

  public struct Cell: Sendable, Codable {
    public var source: String
    public var code: String
    public var executionCount: Int?
    public var cellId: String?
    public var notebook: String?
  }
  public struct Python: Sendable, Codable {
    public var version: String
    public var implementation: String?
    public var prefix: String?
  }
  public struct State: Sendable, Codable {
    /// Where the notebook's interpreter looked for modules.
    public var sysPath: [String]?
  }
  public struct Variable: Sendable, Codable {
    public var name: String
    public var type: String
    public var size: Int64
    public var group: Int?
    public var module: String?
    public var version: String?
    public var preview: String?
    /// Of an array: numpy's name of the type of its items, like `float32`, and its lengths.
    public var dtype: String?
    public var shape: [Int]?
    /// Of a table: its columns in their order.
    public var columns: [TableColumn]?
  }
  public struct Blob: Sendable, Codable, Hashable {
    public var digest: String
    public var size: Int64
  }
  public struct Group: Sendable, Codable {
    public var id: Int
    public var names: [String]
    public var stream: Blob
    public var buffers: [Blob]
    public var afterFork: Bool?
  }
  public struct LocalModule: Sendable, Codable {
    public var name: String
    public var isPackage: Bool
    public var source: Blob
  }
  public struct Failure: Sendable, Codable {
    public var name: String
    public var type: String
    public var `where`: String
    public var culprit: String
    public var reason: String
    public var hint: String?
  }
  /// A name in the cell's code; `via` is the chain of functions through which the cell reaches it.
  public struct NameUse: Sendable, Codable {
    public var name: String
    public var line: Int
    public var via: [String]?
  }
  public struct ShellUse: Sendable, Codable {
    public var text: String
    public var line: Int
  }
  /// An installed distribution that the state or the cell can't do without.
  public struct Distribution: Sendable, Codable {
    /// As PEP 503 writes it.
    public var name: String
    public var version: String
    /// Its top-level modules in use.
    public var modules: [String]
    /// Names of the variables that need it.
    public var variables: [String]
    /// The cell imports it itself.
    public var cell: Bool
  }
  public struct Analysis: Sendable, Codable {
    public var uses: [NameUse]
    public var stores: [NameUse]
    public var unresolved: [NameUse]
    public var dynamic: [NameUse]
    public var shell: [ShellUse]
    public var isAsync: Bool
  }

  public var formatVersion: Int
  public var createdAt: Timestamp
  public var operation: String
  public var cell: Cell
  public var python: Python
  public var state: State?
  public var packages: [String: String]
  /// Nil in checkpoints of earlier versions.
  public var distributions: [Distribution]?
  public var variables: [Variable]
  public var groups: [Group]
  public var localModules: [LocalModule]?
  public var errors: [Failure]
  public var analysis: Analysis

  /// Every blob the manifest names, each once.
  public var blobs: [Blob] {
    var seen = Set<String>()
    let all = groups.flatMap { [$0.stream] + $0.buffers } + (localModules ?? []).map(\.source)
    return all.filter { seen.insert($0.digest).inserted }
  }

  /// Throws `invalidArgument` naming the member when the manifest can't be right.
  public func check() throws(PlatformError) {
    guard formatVersion == Self.formatVersion else {
      throw .invalid(
        "manifest.formatVersion",
        "manifest.formatVersion: \(formatVersion) is not supported; this server reads version \(Self.formatVersion), upgrade the older side"
      )
    }
    for blob in blobs {
      guard Digest.isWellFormed(blob.digest), blob.size >= 0 else {
        throw .invalid(
          "manifest.groups", "manifest: '\(blob.digest)' is not a sha256:<64 hex> digest with a size")
      }
    }
    let names = Set(variables.map(\.name))
    for group in groups {
      for name in group.names where !names.contains(name) {
        throw .invalid(
          "manifest.groups[\(group.id)]", "manifest.groups[\(group.id)]: '\(name)' is not in variables")
      }
    }
  }
}

/// `sha256:<64 lower-case hex digits>`.
public enum Digest {
  public static func isWellFormed(_ text: String) -> Bool {
    let bytes = Array(text.utf8)
    return bytes.count == 71 && text.hasPrefix("sha256:")
      && bytes[7...].allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }

  /// The 64 hex digits of a well-formed digest.
  public static func hex(_ text: String) -> String { String(text.dropFirst(7)) }
}
