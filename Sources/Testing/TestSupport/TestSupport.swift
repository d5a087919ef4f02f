import FoundationEssentials

/// A temporary folder, removed when the holder goes.
public final class TemporaryFolder: Sendable {
  public let path: String

  public init() throws {
    path = FileManager.default.temporaryDirectory.appending(path: "roost-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// Waits until a level is reached; false when it was not within `limit`, which is generous for loaded machines.
public func eventually(
  within limit: Duration = .seconds(30), _ level: () async throws -> Bool
) async rethrows -> Bool {
  let deadline = ContinuousClock.now + limit
  while ContinuousClock.now < deadline {
    if try await level() { return true }
    try? await Task.sleep(for: .milliseconds(5))
  }
  return try await level()
}
