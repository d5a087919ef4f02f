public import Domain
import FoundationEssentials
import Glibc

/// A layer of a checkpoint's OCI manifest.
public struct OCILayer: Sendable, Codable, Hashable {
  /// What a layer holds (`docs/formats/checkpoint.md`).
  public enum Kind: String, Sendable, Codable {
    case stream = "application/vnd.roost.checkpoint.stream.v1"
    case buffer = "application/vnd.roost.checkpoint.buffer.v1"
    case source = "text/x-python"
    case model = "application/vnd.roost.model.file.v1"
  }

  public var kind: Kind
  public var blob: BlobReference

  public init(_ kind: Kind, _ blob: BlobReference) {
    self.kind = kind
    self.blob = blob
  }
}

/// An entry of `index.json`: a checkpoint by its id.
public struct OCIIndexEntry: Sendable, Codable, Hashable {
  public var checkpoint: CheckpointID
  /// The OCI manifest.
  public var manifest: BlobReference

  public init(checkpoint: CheckpointID, manifest: BlobReference) {
    self.checkpoint = checkpoint
    self.manifest = manifest
  }
}

struct OCIDescriptor: Codable {
  var mediaType: String
  var digest: String
  var size: Int64
  var artifactType: String?
  var annotations: [String: String]?

  static let manifestType = "application/vnd.oci.image.manifest.v1+json"
  static let artifact = "application/vnd.roost.checkpoint.v1"
  static let config = "application/vnd.roost.checkpoint.config.v1+json"
  static let modelArtifact = "application/vnd.roost.model.v1"
  static let modelConfig = "application/vnd.roost.model.config.v1+json"
  static let referenceName = "org.opencontainers.image.ref.name"
}

private struct OCIManifest: Codable {
  var schemaVersion = 2
  var mediaType = OCIDescriptor.manifestType
  var artifactType = OCIDescriptor.artifact
  var config: OCIDescriptor
  var layers: [OCIDescriptor]
}

/// `index.json`. Derived from the database, so a lost one is made anew by `replaceIndex`.
struct OCIIndex: Codable {
  var schemaVersion = 2
  var mediaType = "application/vnd.oci.image.index.v1+json"
  var manifests: [OCIDescriptor] = []

  /// The index of the file; an empty one when the file is missing or can't be read as an index.
  static func load(_ path: String) throws(PlatformError) -> OCIIndex {
    guard let bytes = try Files.read(path, limit: 256 << 20) else { return OCIIndex() }
    return (try? JSONDecoder().decode(OCIIndex.self, from: Data(bytes))) ?? OCIIndex()
  }

  func save(_ path: String, through temporary: String) throws(PlatformError) {
    try Files.replace(path, with: try encoded(self), through: temporary, mode: 0o644)
  }
}

/// JSON with sorted keys: equal values have equal bytes, so equal digests.
private func encoded(_ value: some Encodable) throws(PlatformError) -> [UInt8] {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  do {
    return Array(try encoder.encode(value))
  } catch {
    throw PlatformError(.internal, "an OCI document could not be written", cause: error)
  }
}

extension BlobStore {
  /// Writes the OCI manifest of a checkpoint as a blob. Its config is the checkpoint's manifest, which, like
  /// every
  /// layer, must be here already (else `invalidArgument` names those that are not).
  public func writeManifest(
    config: BlobReference, layers: [OCILayer], isModel: Bool = false
  ) async throws(PlatformError) -> BlobReference {
    let absent = try missing([config.digest] + layers.map(\.blob.digest))
    guard absent.isEmpty else {
      throw .invalid("manifest", "manifest: blobs are not uploaded yet: \(absent.joined(separator: ", "))")
    }
    for blob in [config] + layers.map(\.blob) where try size(of: blob.digest) != blob.size {
      throw .invalid("manifest", "manifest: blob \(blob.digest) does not have the stated \(blob.size) bytes")
    }
    let bytes = try encoded(
      OCIManifest(
        artifactType: isModel ? OCIDescriptor.modelArtifact : OCIDescriptor.artifact,
        config: OCIDescriptor(
          mediaType: isModel ? OCIDescriptor.modelConfig : OCIDescriptor.config, digest: config.digest,
          size: config.size),
        layers: layers.map {
          OCIDescriptor(mediaType: $0.kind.rawValue, digest: $0.blob.digest, size: $0.blob.size)
        }))
    let digest = try DigestHasher.digest(of: bytes)
    try await put(digest, bytes)
    return BlobReference(digest: digest, size: Int64(bytes.count))
  }

  /// Adds and removes checkpoints in `index.json`.
  public func updateIndex(
    adding: [OCIIndexEntry] = [], removing: [CheckpointID] = []
  ) throws(PlatformError) {
    let gone = Set(removing.map(\.text) + adding.map(\.checkpoint.text))
    var next = index
    next.manifests.removeAll { gone.contains($0.annotations?[OCIDescriptor.referenceName] ?? "") }
    next.manifests += adding.map(Self.descriptor)
    try keep(next)
  }

  /// Makes `index.json` say exactly this: what a start does with all checkpoints of the database.
  public func replaceIndex(_ entries: [OCIIndexEntry]) throws(PlatformError) {
    try keep(OCIIndex(manifests: entries.map(Self.descriptor)))
  }

  /// Checkpoints in `index.json`, in its order.
  public func indexed() -> [CheckpointID] {
    index.manifests.compactMap { $0.annotations?[OCIDescriptor.referenceName] }.compactMap {
      CheckpointID($0)
    }
  }

  private func keep(_ next: OCIIndex) throws(PlatformError) {
    try next.save(registry + "/index.json", through: uploadFolder + "/tmp-index")
    index = next
  }

  private static func descriptor(_ entry: OCIIndexEntry) -> OCIDescriptor {
    OCIDescriptor(
      mediaType: OCIDescriptor.manifestType, digest: entry.manifest.digest, size: entry.manifest.size,
      artifactType: OCIDescriptor.artifact,
      annotations: [OCIDescriptor.referenceName: entry.checkpoint.text])
  }
}
