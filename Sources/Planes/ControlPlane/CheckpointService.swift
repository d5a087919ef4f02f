public import Domain
public import Storage
internal import Wire

/// Takes checkpoints in and keeps the blob store clean.
public struct CheckpointService: Sendable {
  private let store: Store
  private let blobs: BlobStore
  private let time: TimeSource

  public init(store: Store, blobs: BlobStore, time: TimeSource) {
    self.store = store
    self.blobs = blobs
    self.time = time
  }

  /// Registers a checkpoint whose blobs are uploaded. Acknowledged only when all of it is on disk.
  ///
  /// - Parameters:
  ///   - manifest: the manifest as the notebook wrote it.
  ///   - bytes: its JSON, stored unchanged as the config blob.
  public func register(
    _ manifest: CheckpointManifest, bytes: [UInt8], project: ProjectRecord
  ) async throws(PlatformError) -> CheckpointRecord {
    try manifest.check()
    let wanted = manifest.blobs
    let missing = try blobs.missing(wanted.map(\.digest))
    guard missing.isEmpty else {
      throw .invalid(
        "manifest.groups",
        "manifest.groups: \(missing.count) blobs were not uploaded: \(missing.prefix(5).joined(separator: ", "))\(missing.count > 5 ? "..." : ""); upload them and register again"
      )
    }
    for blob in wanted {
      let size = try blobs.size(of: blob.digest)
      guard size == blob.size else {
        throw .invalid(
          "manifest.groups",
          "manifest.groups: blob \(blob.digest) has \(size ?? 0) bytes, the manifest says \(blob.size)")
      }
    }
    let config = try await blobs.add(bytes)
    let id = CheckpointID.random()
    let layers = manifest.groups.flatMap { group in
      [OCILayer(.stream, reference(group.stream))] + group.buffers.map { OCILayer(.buffer, reference($0)) }
    }
    let modules = (manifest.localModules ?? []).map { OCILayer(.source, reference($0.source)) }
    let oci = try await blobs.writeManifest(config: config, layers: layers + modules)
    let record = CheckpointRecord(
      id: id, projectID: project.id, createdAt: time.wall(), manifestDigest: config.digest,
      ociDigest: oci.digest,
      operation: manifest.operation, notebook: manifest.cell.notebook,
      executionCount: manifest.cell.executionCount,
      cellSource: manifest.cell.source, sizeBytes: wanted.reduce(0) { $0 + $1.size },
      errorsCount: manifest.errors.count)
    let (added, dropped) = try await store.addCheckpoint(
      record, blobs: wanted.map(reference) + [config, oci])
    try await blobs.updateIndex(adding: [OCIIndexEntry(checkpoint: id, manifest: oci)], removing: dropped)
    return added
  }

  private func reference(_ blob: CheckpointManifest.Blob) -> BlobReference {
    BlobReference(digest: blob.digest, size: blob.size)
  }

  /// Checkpoints have left the store: `index.json` follows, their blobs go with the next garbage collection.
  public func removed(_ ids: [CheckpointID]) async throws(PlatformError) {
    try await blobs.updateIndex(removing: ids)
  }

  /// Example inputs, from the manifest; nil when it has none.
  public func example(of checkpoint: CheckpointRecord) async throws(PlatformError) -> String? {
    let bytes = try await blobs.read(checkpoint.manifestDigest, limit: 64 << 20)
    return Self.example(inManifest: bytes)
  }

  /// The text of the manifest's example, as the notebook wrote it.
  static func example(inManifest bytes: [UInt8]) -> String? {
    guard let members = try? JSONMembers.slice(bytes),
      let value = members.first(where: { $0.name == "example" })?.value, bytes[value].first == 0x7b
    else { return nil }
    return String(decoding: bytes[value], as: UTF8.self)
  }

  /// Removes blobs that no checkpoint names and that no upload under way may need.
  public func collectGarbage() async throws(PlatformError) -> Int64 {
    let referenced = try await store.referencedDigests()
    return try await blobs.collectGarbage(
      referenced: referenced, olderThan: .seconds(3600), now: time.cautious()
    ).bytes
  }
}
