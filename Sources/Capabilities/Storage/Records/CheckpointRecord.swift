public import Domain

/// A saved state. `name`, `pinnedAt` and `pinnedBy` are set while it is pinned.
public struct CheckpointRecord: Sendable, Codable, Equatable {
  /// Order of creation, given by the store: clocks jump, this does not.
  public var sequence: Int64
  public var id: CheckpointID
  public var projectID: ProjectID
  public var name: String?
  public var pinnedAt: Timestamp?
  public var pinnedBy: String?
  public var createdAt: Timestamp
  public var manifestDigest: String
  public var ociDigest: String
  public var operation: String
  public var notebook: String?
  public var executionCount: Int?
  public var cellSource: String
  /// All blobs, shared ones too.
  public var sizeBytes: Int64
  /// Bytes that no earlier checkpoint had; computed by the store.
  public var newBytes: Int64
  public var errorsCount: Int

  public init(
    sequence: Int64 = 0, id: CheckpointID, projectID: ProjectID, name: String? = nil,
    pinnedAt: Timestamp? = nil, pinnedBy: String? = nil, createdAt: Timestamp, manifestDigest: String,
    ociDigest: String, operation: String, notebook: String? = nil, executionCount: Int? = nil,
    cellSource: String, sizeBytes: Int64, newBytes: Int64 = 0, errorsCount: Int = 0
  ) {
    self.sequence = sequence
    self.id = id
    self.projectID = projectID
    self.name = name
    self.pinnedAt = pinnedAt
    self.pinnedBy = pinnedBy
    self.createdAt = createdAt
    self.manifestDigest = manifestDigest
    self.ociDigest = ociDigest
    self.operation = operation
    self.notebook = notebook
    self.executionCount = executionCount
    self.cellSource = cellSource
    self.sizeBytes = sizeBytes
    self.newBytes = newBytes
    self.errorsCount = errorsCount
  }
}

extension CheckpointRecord: SQLiteRecord {
  static let table = "checkpoint"
  static let columns = [
    "sequence", "id", "project_id", "name", "pinned_at", "pinned_by", "created_at", "manifest_digest",
    "oci_digest", "operation", "notebook", "execution_count", "cell_source", "size_bytes", "new_bytes",
    "errors_count",
  ]
  var values: [any SQLiteStorable] {
    [
      sequence, id, projectID, name, pinnedAt, pinnedBy, createdAt, manifestDigest, ociDigest, operation,
      notebook, executionCount, cellSource, sizeBytes, newBytes, errorsCount,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    sequence = try row.next()
    id = try row.next()
    projectID = try row.next()
    name = try row.next()
    pinnedAt = try row.next()
    pinnedBy = try row.next()
    createdAt = try row.next()
    manifestDigest = try row.next()
    ociDigest = try row.next()
    operation = try row.next()
    notebook = try row.next()
    executionCount = try row.next()
    cellSource = try row.next()
    sizeBytes = try row.next()
    newBytes = try row.next()
    errorsCount = try row.next()
  }
}
