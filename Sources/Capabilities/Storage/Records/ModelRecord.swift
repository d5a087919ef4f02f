public import Domain

/// A saved model of a project.
public struct ModelRecord: Sendable, Codable, Equatable {
  /// Order of creation, given by the store.
  public var sequence: Int64
  public var id: ModelID
  public var projectID: ProjectID
  public var name: String
  /// Of the file.
  public var digest: String
  public var configDigest: String
  public var ociDigest: String
  /// `ModelFacts`.
  public var factsJSON: String
  public var notebook: String?
  public var variable: String?
  public var createdAt: Timestamp
  public var createdBy: String

  public init(
    sequence: Int64 = 0, id: ModelID, projectID: ProjectID, name: String, digest: String,
    configDigest: String, ociDigest: String, factsJSON: String, notebook: String? = nil,
    variable: String? = nil, createdAt: Timestamp, createdBy: String
  ) {
    self.sequence = sequence
    self.id = id
    self.projectID = projectID
    self.name = name
    self.digest = digest
    self.configDigest = configDigest
    self.ociDigest = ociDigest
    self.factsJSON = factsJSON
    self.notebook = notebook
    self.variable = variable
    self.createdAt = createdAt
    self.createdBy = createdBy
  }
}

extension ModelRecord: SQLiteRecord {
  static let table = "model"
  static let columns = [
    "sequence", "id", "project_id", "name", "digest", "config_digest", "oci_digest", "facts_json", "notebook",
    "variable", "created_at", "created_by",
  ]
  var values: [any SQLiteStorable] {
    [
      sequence, id, projectID, name, digest, configDigest, ociDigest, factsJSON, notebook, variable,
      createdAt, createdBy,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    sequence = try row.next()
    id = try row.next()
    projectID = try row.next()
    name = try row.next()
    digest = try row.next()
    configDigest = try row.next()
    ociDigest = try row.next()
    factsJSON = try row.next()
    notebook = try row.next()
    variable = try row.next()
    createdAt = try row.next()
    createdBy = try row.next()
  }
}
