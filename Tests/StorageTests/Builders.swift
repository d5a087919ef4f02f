import Domain
import FoundationEssentials
import Glibc
import Storage

/// A temporary folder, removed when the holder goes.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appending(path: "roost-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var database: String { path + "/roost.db" }
}

let start = Timestamp(seconds: 1_800_000_000)

/// A store with one folder and one project.
struct World {
  let home: TemporaryFolder
  let store: Store
  let folder: FolderRecord
  let project: ProjectRecord

  init(unpinned: Int = 3, pinned: Int = 2) async throws {
    home = try TemporaryFolder()
    store = try Store(path: home.database)
    folder = FolderRecord(id: .random(), name: "default", createdAt: start)
    project = ProjectRecord(
      id: .random(), folderID: folder.id, name: "default", createdAt: start, unpinnedLimit: unpinned,
      pinnedLimit: pinned)
    try await store.createFolder(folder)
    try await store.createProject(project)
  }

  func checkpoint(at time: Timestamp = start) -> CheckpointRecord {
    CheckpointRecord(
      id: .random(), projectID: project.id, createdAt: time, manifestDigest: "sha256:m",
      ociDigest: "sha256:o",
      operation: "Cell run", notebook: "a.ipynb", executionCount: 1, cellSource: "x = 1", sizeBytes: 10)
  }

  @discardableResult
  func add(_ count: Int) async throws -> [CheckpointID] {
    var ids: [CheckpointID] = []
    for _ in 0..<count { ids.append(try await store.addCheckpoint(checkpoint(), blobs: []).added.id) }
    return ids
  }

  func node(_ name: String, _ checkpoint: CheckpointID) -> NodeRecord {
    NodeRecord(
      id: .random(), folderID: folder.id, projectID: project.id, name: name, specJSON: "{}",
      checkpointID: checkpoint, createdAt: start, createdBy: "sva", updatedAt: start)
  }

  func ids() async throws -> [CheckpointID] { try await store.checkpoints().items.map(\.id) }
}

func mode(of path: String) -> mode_t {
  var status = stat()
  return stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
}

func open(_ path: String, to mode: mode_t) -> Bool { chmod(path, mode) == 0 }
