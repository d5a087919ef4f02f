/// The cell whose run made a checkpoint.
public struct CheckpointCell: Sendable, Codable, Equatable {
  public var source: String
  public var executionCount: Int?
  public var notebook: String?

  public init(
    source: String, executionCount: Int? = nil, notebook: String? = nil
  ) {
    self.source = source
    self.executionCount = executionCount
    self.notebook = notebook
  }
}

/// A saved variable; `size` in bytes.
public struct CheckpointVariable: Sendable, Codable, Equatable {
  public var name: String
  public var type: String
  public var size: Int64
  public var preview: String?
  public var module: String?
  public var version: String?

  public init(
    name: String, type: String, size: Int64, preview: String? = nil, module: String? = nil,
    version: String? = nil
  ) {
    self.name = name
    self.type = type
    self.size = size
    self.preview = preview
    self.module = module
    self.version = version
  }
}

/// A variable that could not be saved.
public struct CheckpointError: Sendable, Codable, Equatable {
  public var name: String
  public var type: String
  /// Path to the culprit, like `cfg['db'].conn`.
  public var at: String
  public var culprit: String
  public var reason: String
  public var hint: String?

  public init(
    name: String, type: String, at: String, culprit: String, reason: String, hint: String? = nil
  ) {
    self.name = name
    self.type = type
    self.at = at
    self.culprit = culprit
    self.reason = reason
    self.hint = hint
  }
}

/// Saved interpreter state. `variables`, `errors`, `packages` are filled by get, empty in lists.
public struct CheckpointResource: Sendable, Codable, Equatable {
  public var id: CheckpointID
  public var projectId: ProjectID
  /// Set when pinned.
  public var name: String?
  public var pinned: Bool
  public var createdAt: Timestamp
  public var pinnedAt: Timestamp?
  public var pinnedBy: String?
  public var operation: String
  public var cell: CheckpointCell
  /// All blobs, shared ones too.
  public var sizeBytes: Int64
  /// Bytes that no earlier checkpoint had.
  public var newBytes: Int64
  public var manifestDigest: String
  public var variables: [CheckpointVariable]
  public var errors: [CheckpointError]
  public var errorCount: Int
  public var pythonVersion: String?
  public var packages: [String: String]
  /// Names of the nodes that run it.
  public var usedBy: [String]
  /// Example inputs, a JSON object as text.
  public var example: JSONText?

  public init(
    id: CheckpointID, projectId: ProjectID, name: String? = nil, pinned: Bool, createdAt: Timestamp,
    pinnedAt: Timestamp? = nil, pinnedBy: String? = nil, operation: String, cell: CheckpointCell,
    sizeBytes: Int64, newBytes: Int64, manifestDigest: String, variables: [CheckpointVariable] = [],
    errors: [CheckpointError] = [], errorCount: Int = 0, pythonVersion: String? = nil,
    packages: [String: String] = [:], usedBy: [String] = [], example: JSONText? = nil
  ) {
    self.id = id
    self.projectId = projectId
    self.name = name
    self.pinned = pinned
    self.createdAt = createdAt
    self.pinnedAt = pinnedAt
    self.pinnedBy = pinnedBy
    self.operation = operation
    self.cell = cell
    self.sizeBytes = sizeBytes
    self.newBytes = newBytes
    self.manifestDigest = manifestDigest
    self.variables = variables
    self.errors = errors
    self.errorCount = errorCount
    self.pythonVersion = pythonVersion
    self.packages = packages
    self.usedBy = usedBy
    self.example = example
  }
}

/// Body of `POST /v1/checkpoints/{id}:pin` and `PATCH /v1/checkpoints/{id}`.
public struct PinCheckpointRequest: Sendable, Codable, Equatable {
  public var name: String

  public init(
    name: String
  ) {
    self.name = name
  }
}
