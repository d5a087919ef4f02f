public import Domain

/// A long-running request of a user.
public struct OperationRecord: Sendable, Codable, Equatable {
  /// Order of creation, given by the store.
  public var sequence: Int64
  public var id: OperationID
  public var kind: String
  public var description: String
  public var createdAt: Timestamp
  public var createdBy: String
  public var modifiedAt: Timestamp
  public var done: Bool
  public var resourceID: String
  public var metadataJSON: String
  public var responseJSON: String?
  public var errorJSON: String?

  public init(
    sequence: Int64 = 0, id: OperationID, kind: String, description: String, createdAt: Timestamp,
    createdBy: String, modifiedAt: Timestamp, done: Bool = false, resourceID: String,
    metadataJSON: String = "{}", responseJSON: String? = nil, errorJSON: String? = nil
  ) {
    self.sequence = sequence
    self.id = id
    self.kind = kind
    self.description = description
    self.createdAt = createdAt
    self.createdBy = createdBy
    self.modifiedAt = modifiedAt
    self.done = done
    self.resourceID = resourceID
    self.metadataJSON = metadataJSON
    self.responseJSON = responseJSON
    self.errorJSON = errorJSON
  }
}

extension OperationRecord: SQLiteRecord {
  static let table = "operation"
  static let columns = [
    "sequence", "id", "kind", "description", "created_at", "created_by", "modified_at", "done",
    "resource_id", "metadata_json", "response_json", "error_json",
  ]
  var values: [any SQLiteStorable] {
    [
      sequence, id, kind, description, createdAt, createdBy, modifiedAt, done, resourceID, metadataJSON,
      responseJSON, errorJSON,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    sequence = try row.next()
    id = try row.next()
    kind = try row.next()
    description = try row.next()
    createdAt = try row.next()
    createdBy = try row.next()
    modifiedAt = try row.next()
    done = try row.next()
    resourceID = try row.next()
    metadataJSON = try row.next()
    responseJSON = try row.next()
    errorJSON = try row.next()
  }
}

/// Who changed what. `eventType` is like `yandex.cloud.audit.datasphere.CreateNode`.
public struct AuditRecord: Sendable, Codable, Equatable {
  /// Order of events, given by the store.
  public var sequence: Int64
  public var id: String
  public var at: Timestamp
  public var subject: String
  public var eventType: String
  public var resourceID: String
  public var detailsJSON: String
  public var requestID: String

  public init(
    sequence: Int64 = 0, id: String, at: Timestamp, subject: String, eventType: String, resourceID: String,
    detailsJSON: String = "{}", requestID: String = ""
  ) {
    self.sequence = sequence
    self.id = id
    self.at = at
    self.subject = subject
    self.eventType = eventType
    self.resourceID = resourceID
    self.detailsJSON = detailsJSON
    self.requestID = requestID
  }
}

extension AuditRecord: SQLiteRecord {
  static let table = "audit"
  static let columns = [
    "sequence", "id", "at", "subject", "event_type", "resource_id", "details_json", "request_id",
  ]
  var values: [any SQLiteStorable] {
    [
      sequence, id, at, subject, eventType, resourceID, detailsJSON, requestID,
    ]
  }
  init(row: inout SQLiteRow) throws(PlatformError) {
    sequence = try row.next()
    id = try row.next()
    at = try row.next()
    subject = try row.next()
    eventType = try row.next()
    resourceID = try row.next()
    detailsJSON = try row.next()
    requestID = try row.next()
  }
}
