import Domain
import FoundationEssentials
import Glibc
import Testing

@testable import ImageNodes

/// The engine and the registry that `scripts/with-engine` starts.
enum Bench {
  static let engine = variable("ROOST_TEST_ENGINE")
  static let registry = variable("ROOST_TEST_REGISTRY") ?? ""
  static let missing: Comment =
    "\(variable("ROOST_TEST_ENGINE_MISSING") ?? "no engine: run with scripts/with-engine")"
  static var isThere: Bool {
    if engine == nil { print("skipped: \(missing)") }
    return engine != nil
  }

  static let login = RegistryLogin(user: "json_key", password: "p w:d/1", registry: registry)

  private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  static func client() throws -> EngineClient { EngineClient(socket: try #require(engine)) }

  static func body(_ image: String = "testapp:1", command: [String]? = nil, env: [String] = [])
    -> ContainerBody
  {
    ContainerBody(
      Hostname: "test", Env: ["PORT=8080"] + env, Image: image, Cmd: command,
      Labels: ["roost.owner": "client-tests"],
      ExposedPorts: [:], StopTimeout: 2,
      HostConfig: .init(
        NanoCpus: 1_000_000_000, Memory: 256 << 20, MemorySwap: 256 << 20, PidsLimit: 64,
        ReadonlyRootfs: true,
        CapAdd: [], Tmpfs: ["/tmp": "rw,nosuid,nodev,size=16m,mode=1777"], ShmSize: 32 << 20, Init: true,
        NetworkMode: "none", Mounts: []))
  }

  /// A container that is removed when the body has ended.
  static func withContainer(
    _ body: ContainerBody, _ test: (EngineClient, String) async throws -> Void
  ) async throws {
    let client = try client()
    let (id, _) = try await client.create("roost-test-\(UInt64.random(in: 0...(.max)))", body)
    do { try await test(client, id) } catch {
      try await client.remove(id)
      throw error
    }
    try await client.remove(id)
  }

  /// Polls a level.
  static func wait(_ what: String, seconds: Double = 60, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < deadline {
      if try await condition() { return }
      try await Task.sleep(for: .milliseconds(20))
    }
    Issue.record("not within \(seconds) s: \(what)")
  }
}
