import ControlPlane
import Domain
import FoundationEssentials
import Storage
import TestSupport
import Testing

/// Checkpoints as a notebook registers them, over a real store and real blobs.
@Suite(.ownThread, .timeLimit(.minutes(5))) struct CheckpointServiceTests {
  private func service(_ bench: Bench) -> CheckpointService {
    CheckpointService(store: bench.store, blobs: bench.blobs, time: bench.time)
  }

  /// A manifest with one variable in one group whose stream is this blob.
  private func manifest(_ blob: BlobReference, size: Int64? = nil, version: Int = 1) -> String {
    """
    {"formatVersion":\(version),"createdAt":"2026-01-01T00:00:00.000Z","operation":"Cell run",
    "cell":{"source":"out = 1","code":"out = 1","notebook":"a.ipynb","executionCount":7},
    "python":{"version":"3.11.7"},"packages":{},"example":{"x":[1, 2]},
    "variables":[{"name":"out","type":"builtins.int","size":3,"group":0}],
    "groups":[{"id":0,"names":["out"],"stream":{"digest":"\(blob.digest)","size":\(size ?? blob.size)},"buffers":[],
    "afterFork":false}],"errors":[],
    "analysis":{"uses":[],"stores":[{"name":"out","line":1}],"unresolved":[],"dynamic":[],"shell":[],"isAsync":false}}
    """
  }

  private func register(_ bench: Bench, _ text: String) async throws -> CheckpointRecord {
    try await service(bench).register(
      try StoredJSON.value(CheckpointManifest.self, from: text), bytes: Array(text.utf8),
      project: bench.project)
  }

  @Test func `what was registered is read back byte for byte and counted`() async throws {
    let bench = try await Bench()
    let blob = try await bench.blobs.add(Array("state".utf8))
    let text = manifest(blob)
    let record = try await register(bench, text)
    #expect(record.notebook == "a.ipynb" && record.executionCount == 7 && record.cellSource == "out = 1")
    #expect(record.sizeBytes == 5 && record.errorsCount == 0)
    #expect(try await bench.blobs.read(record.manifestDigest, limit: 1 << 20) == Array(text.utf8))
    #expect(try await service(bench).example(of: record) == "{\"x\":[1, 2]}")
    #expect(try await bench.store.checkpoint(record.id) == record)
  }

  @Test func `blobs that were not uploaded are named`() async throws {
    let bench = try await Bench()
    let digest = "sha256:" + String(repeating: "ab", count: 32)
    let error = await #expect(throws: PlatformError.self) {
      _ = try await register(bench, manifest(BlobReference(digest: digest, size: 5)))
    }
    #expect(error?.code == .invalidArgument && error?.field == "manifest.groups")
    #expect(error?.message.contains("1 blobs were not uploaded: \(digest)") == true)
  }

  @Test func `a blob of another size than the manifest says is refused`() async throws {
    let bench = try await Bench()
    let blob = try await bench.blobs.add(Array("state".utf8))
    let error = await #expect(throws: PlatformError.self) {
      _ = try await register(bench, manifest(blob, size: 6))
    }
    #expect(error?.message.contains("has 5 bytes, the manifest says 6") == true)
  }

  @Test func `a manifest of a later format is refused before anything is kept`() async throws {
    let bench = try await Bench()
    let blob = try await bench.blobs.add(Array("state".utf8))
    let before = try await bench.store.referencedDigests()
    let error = await #expect(throws: PlatformError.self) {
      _ = try await register(bench, manifest(blob, version: 99))
    }
    #expect(error?.message.contains("formatVersion") == true, "\(error?.message ?? "")")
    #expect(try await bench.store.referencedDigests() == before)
  }

  @Test func `the same state twice is kept once`() async throws {
    let bench = try await Bench()
    let blob = try await bench.blobs.add(Array("state".utf8))
    let first = try await register(bench, manifest(blob))
    let second = try await register(bench, manifest(blob))
    #expect(first.id != second.id && first.manifestDigest == second.manifestDigest)
    #expect(first.newBytes > 0 && second.newBytes == 0)
  }

  @Test func `garbage is what no checkpoint names, once it is old enough`() async throws {
    let bench = try await Bench()
    let used = try await bench.blobs.add(Array("state".utf8))
    let record = try await register(bench, manifest(used))
    let unused = try await bench.blobs.add(Array("left behind".utf8))
    #expect(try await service(bench).collectGarbage() == 0, "an upload may still be under way")
    // Ten days later, in another life of the service.
    bench.clock.turn(.seconds(10 * 86400))
    let later = CheckpointService(store: bench.store, blobs: bench.blobs, time: bench.clock.source)
    #expect(try await later.collectGarbage() == 11)
    #expect(try bench.blobs.missing([used.digest, unused.digest]) == [unused.digest])
    try await bench.store.deleteCheckpoint(record.id)
    try await later.removed([record.id])
    #expect(try await later.collectGarbage() > 0)
    #expect(try bench.blobs.missing([used.digest]) == [used.digest])
  }

  @Test func `a damaged manifest is told with the checkpoint's id and the fix`() async throws {
    let bench = try await Bench()
    let record = try await register(bench, manifest(try await bench.blobs.add(Array("state".utf8))))
    let path = try bench.blobs.path(of: record.manifestDigest)
    try "{".write(toFile: path, atomically: false, encoding: .utf8)
    let reader = CheckpointReader(store: bench.store, blobs: bench.blobs)
    let error = await #expect(throws: PlatformError.self) { _ = try await reader.manifest(of: record) }
    #expect(error?.code == .dataLoss)
    #expect(error?.message.contains("\(record.id) is missing or damaged") == true)
    #expect(error?.message.contains("run the cell again") == true)
  }
}
