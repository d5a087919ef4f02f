public import Domain
public import Secrets
public import Storage

/// What users do to secrets. Nodes name them; the drivers of nodes ask the vault for their values.
public struct SecretService: Sendable {
  let world: NodeWorld
  let vault: SecretVault

  public init(world: NodeWorld, vault: SecretVault) {
    self.world = world
    self.vault = vault
  }

  public func create(
    _ request: CreateSecretRequest, value: [UInt8], folder: FolderID, by subject: String
  ) async throws(PlatformError) -> SecretRecord {
    try ResourceName.check(request.name)
    try Self.checkDescription(request.description)
    let now = world.now()
    let record = SecretRecord(
      id: .random(), folderID: folder, name: request.name, description: request.description ?? "",
      createdAt: now, createdBy: subject, updatedAt: now)
    try await vault.create(record, value: value)
    return record
  }

  /// nil leaves what it is for as it is.
  public func update(
    _ record: SecretRecord, description: String?, value: [UInt8]?
  ) async throws(PlatformError) -> SecretRecord {
    try Self.checkDescription(description)
    return try await vault.update(record.id, description: description, value: value, at: world.now())
  }

  /// Throws `failedPrecondition` that names the nodes which use it.
  public func delete(_ record: SecretRecord) async throws(PlatformError) {
    try await world.store.atomically { store throws(PlatformError) in
      let nodes = try Self.nodes(using: record, store.allNodes())
      guard nodes.isEmpty else {
        throw PlatformError(
          .failedPrecondition,
          "secret '\(record.name)' is used by \(nodes.count == 1 ? "node" : "nodes") \(nodes.joined(separator: ", ")): delete or change \(nodes.count == 1 ? "it" : "them") first",
          origin: .caller)
      }
      try store.deleteSecret(record.id)
    }
  }

  /// Names of the nodes that use it.
  public func nodes(using record: SecretRecord) async throws(PlatformError) -> [String] {
    try Self.nodes(using: record, try await world.store.allNodes())
  }

  public func rotateKey() async throws(PlatformError) -> RotatedKeyResource { try await vault.rotate() }

  private static func nodes(using record: SecretRecord, _ nodes: [NodeRecord]) throws(PlatformError)
    -> [String]
  {
    var names: [String] = []
    for node in nodes where node.folderID == record.folderID && node.deletedAt == nil {
      let spec = try StoredJSON.value(NodeIntent.self, from: node.specJSON).spec
      if spec.secretUses.contains(where: { $0.secret == record.name }) { names.append(node.name) }
    }
    return names
  }

  private static func checkDescription(_ text: String?) throws(PlatformError) {
    guard let text, text.utf8.count > 1024 else { return }
    throw .invalid("description", "description: at most 1024 bytes, this has \(text.utf8.count)")
  }
}

extension Store {
  /// Throws `notFound` that names the field when a node of this folder would want a secret that there isn't.
  func checkSecrets(of spec: NodeSpec, in folder: FolderID) throws(PlatformError) {
    for use in spec.secretUses where try secret(named: use.secret, in: folder) == nil {
      throw PlatformError(
        .notFound,
        "\(use.field): there is no secret '\(use.secret)' in the node's folder; make it first: roost secret create \(use.secret)",
        origin: .caller, field: use.field)
    }
  }
}
