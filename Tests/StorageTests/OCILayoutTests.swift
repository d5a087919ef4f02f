import Domain
import FoundationEssentials
import Testing

@testable import Storage

/// Reads the layout as any OCI tool would: by its files, not by our types.
@Suite struct OCILayoutTests {
  private struct Descriptor: Codable {
    var mediaType: String
    var digest: String
    var size: Int64
    var annotations: [String: String]?
  }
  private struct Index: Codable {
    var schemaVersion: Int
    var manifests: [Descriptor]
  }
  private struct Manifest: Codable {
    var schemaVersion: Int
    var artifactType: String
    var config: Descriptor
    var layers: [Descriptor]
  }

  private func decode<Value: Decodable>(_ path: String) throws -> Value {
    try JSONDecoder().decode(Value.self, from: try Data(contentsOf: URL(filePath: path)))
  }

  private func put(_ text: String, in store: BlobStore) async throws -> BlobReference {
    let bytes = Array(text.utf8)
    let digest = try DigestHasher.digest(of: bytes)
    try await store.put(digest, bytes)
    return BlobReference(digest: digest, size: Int64(bytes.count))
  }

  @Test func `a checkpoint is an artifact that leads from the index to every layer`() async throws {
    let home = try TemporaryFolder()
    let store = try BlobStore(data: home.path)
    let config = try await put(#"{"formatVersion":1}"#, in: store)
    let stream = try await put("pickle", in: store)
    let buffer = try await put("numbers", in: store)
    let manifest = try await store.writeManifest(
      config: config, layers: [OCILayer(.stream, stream), OCILayer(.buffer, buffer)])
    let id = CheckpointID.random()
    try await store.updateIndex(adding: [OCIIndexEntry(checkpoint: id, manifest: manifest)])

    let layout: [String: String] = try decode(store.registry + "/oci-layout")
    #expect(layout == ["imageLayoutVersion": "1.0.0"])
    let index: Index = try decode(store.registry + "/index.json")
    #expect(index.schemaVersion == 2 && index.manifests.count == 1)
    let entry = try #require(index.manifests.first)
    #expect(entry.mediaType == "application/vnd.oci.image.manifest.v1+json")
    #expect(entry.annotations?["org.opencontainers.image.ref.name"] == id.text)
    let read: Manifest = try decode("\(store.registry)/blobs/sha256/\(entry.digest.dropFirst(7))")
    #expect(read.artifactType == "application/vnd.roost.checkpoint.v1" && read.schemaVersion == 2)
    #expect(read.config.mediaType == "application/vnd.roost.checkpoint.config.v1+json")
    #expect(
      read.layers.map(\.mediaType) == [
        "application/vnd.roost.checkpoint.stream.v1", "application/vnd.roost.checkpoint.buffer.v1",
      ])
    for blob in [entry, read.config] + read.layers {
      #expect(try store.size(of: blob.digest) == blob.size)
      try await store.verify(blob.digest)
    }
  }

  @Test func `the index survives a restart and can be made anew`() async throws {
    let home = try TemporaryFolder()
    let store = try BlobStore(data: home.path)
    let manifest = try await store.writeManifest(config: try await put("{}", in: store), layers: [])
    let ids = [CheckpointID.random(), .random(), .random()]
    let entries = ids.map { OCIIndexEntry(checkpoint: $0, manifest: manifest) }
    try await store.updateIndex(adding: Array(entries[..<2]))
    try await store.updateIndex(adding: [entries[2]], removing: [ids[0]])
    let restarted = try BlobStore(data: home.path)
    #expect(await restarted.indexed() == [ids[1], ids[2]])
    try Data("{".utf8).write(to: URL(filePath: store.registry + "/index.json"))
    let damaged = try BlobStore(data: home.path)
    #expect(await damaged.indexed().isEmpty)
    try await damaged.replaceIndex(entries)
    #expect(await (try BlobStore(data: home.path)).indexed() == ids)
  }

  @Test func `a manifest whose blobs are not here is refused with their digests`() async throws {
    let home = try TemporaryFolder()
    let store = try BlobStore(data: home.path)
    let config = try await put("{}", in: store)
    let absent = BlobReference(digest: "sha256:" + String(repeating: "c", count: 64), size: 1)
    let error = try await #require(throws: PlatformError.self) {
      try await store.writeManifest(config: config, layers: [OCILayer(.stream, absent)])
    }
    #expect(error.code == .invalidArgument && error.message.contains(absent.digest))
    var lying = config
    lying.size = 7
    await #expect(throws: PlatformError.self) { try await store.writeManifest(config: lying, layers: []) }
  }
}
