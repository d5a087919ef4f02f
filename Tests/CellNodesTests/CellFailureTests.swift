import Domain
import DriverAPI
import FoundationEssentials
import Sandboxing
import Testing

@testable import CellNodes

/// The error of a `prepare` that must fail.
private func failure(of bench: Workbench, _ launch: NodeLaunch) async throws -> LastError {
  let failure = await #expect(throws: DriverFailure.self) { _ = try await bench.driver.prepare(launch) }
  #expect(!Files.exists(bench.folder(launch.release).path))
  #expect(bench.group(launch.release).folders.allSatisfy { !Files.exists($0) })
  return try #require(failure?.error)
}

@Suite(.serialized, .enabled(if: machineLacks == nil))
struct CellFailureTests {
  private let digest = String(repeating: "ab", count: 32)

  /// A checkpoint with one group whose stream is `blob`, or isn't there.
  private func launch(_ bench: Workbench, claimedSize: Int, blob: [UInt8]?) throws -> NodeLaunch {
    var launch = try bench.launch("y = state")
    let manifest = """
      {"formatVersion": 1, "cell": {"source": "y = state", "code": "y = state"},
       "variables": [{"name": "state", "type": "builtins.int", "size": 1, "group": 0}], "errors": [],
       "groups": [{"id": 0, "names": ["state"], "stream": {"digest": "sha256:\(digest)", "size": \(claimedSize)},
         "buffers": []}],
       "analysis": {"uses": [{"name": "state", "line": 1, "via": []}], "stores": [], "dynamic": []}}
      """
    try Files.write(Array(manifest.utf8), to: launch.manifestPath)
    launch.blobPaths = ["\(bench.root)/registry/\(digest)"]
    if let blob { try Files.write(blob, to: launch.blobPaths[0]) }
    return launch
  }

  @Test func aMissingBlobIsNamed() async throws {
    try await withWorkbench { bench in
      let error = try await failure(of: bench, try launch(bench, claimedSize: 5, blob: nil))
      #expect(error.phase == .restore)
      #expect(error.message.contains("blob sha256:\(digest) of the checkpoint is missing"))
    }
  }

  @Test func aTruncatedBlobIsNamed() async throws {
    try await withWorkbench { bench in
      let error = try await failure(of: bench, try launch(bench, claimedSize: 5, blob: [1, 2]))
      #expect(error.phase == .restore)
      #expect(error.message.contains("is corrupt: 2 bytes instead of 5"))
    }
  }

  @Test func aBlobWithOtherContentIsNamed() async throws {
    try await withWorkbench { bench in
      let error = try await failure(of: bench, try launch(bench, claimedSize: 2, blob: [1, 2]))
      #expect(error.phase == .restore)
      #expect(error.message.contains("is corrupt"), "\(error.message)")
    }
  }

  @Test func aManifestThatIsNoManifestIsRefused() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = 1")
      try Files.write(Array("{".utf8), to: launch.manifestPath)
      let error = try await failure(of: bench, launch)
      #expect(error.message.contains("manifest is corrupt"))
    }
  }

  @Test func aCellThatDoesNotParseFailsTheRestoreWithTheWorkersWords() async throws {
    try await withWorkbench { bench in
      let error = try await failure(of: bench, try bench.launch("y = = x"))
      #expect(error.phase == .restore)
      #expect(error.errorName == "SyntaxError", "\(error)")
    }
  }

  @Test func aRestoreAboveTheMemoryLimitIsReportedAsOutOfMemory() async throws {
    try await withWorkbench { bench in
      let error = try await failure(of: bench, try bench.launch("y = 1", memory: 4 << 20))
      #expect(error.phase == .restore)
      #expect(error.exitClass == .outOfMemory, "\(error)")
      #expect(error.message.contains("exceeded its memory limit of 4 MiB"), "\(error.message)")
    }
  }

  @Test func aMissingBubblewrapIsNamedWithTheWayToGetIt() async throws {
    try await withWorkbench(bubblewrap: "/no/bwrap") { bench in
      let error = try await failure(of: bench, try bench.launch("y = 1"))
      #expect(error.phase == .launch && error.exitClass == .missing)
      #expect(
        error.message.contains("/no/bwrap") && error.message.contains("--sandbox off"), "\(error.message)")
      #expect(bench.driver.capabilities.missing["network"] != nil)
    }
  }

  @Test func anInstanceCanNotStartWithoutAHost() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = 1")
      let failure = await #expect(throws: DriverFailure.self) {
        _ = try await bench.driver.start(InstanceID.random(), of: launch)
      }
      #expect(failure?.error.message.contains("prepare it") == true)
    }
  }

  @Test func aBusyInstancePassesItsCheckUntilItIsOlderThanTheLongestRequest() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("import time\ntime.sleep(x)\ny = x", timeoutMilliseconds: 30000)
      _ = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      #expect(await bench.driver.probe(handle, timeout: .seconds(5)))
      async let answer = execute(handle, #"{"x": 1}"#)
      let wasBusy = await bench.driver.probe(handle, timeout: .milliseconds(20))
      #expect(wasBusy)
      #expect(try await answer == #"{"y":1}"#)
      #expect(await bench.driver.probe(handle, timeout: .seconds(5)))
    }
  }

  @Test func aHungInstanceFailsItsCheck() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = x", timeoutMilliseconds: 1)
      _ = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      ProcessHandleTool.send(19, to: handle.pid)
      #expect(await bench.driver.probe(handle, timeout: .milliseconds(20)))
      #expect(await !bench.driver.probe(handle, timeout: .seconds(3)))
      ProcessHandleTool.send(18, to: handle.pid)
    }
  }

  @Test func aChangedLaunchReplacesTheHost() async throws {
    try await withWorkbench { bench in
      var launch = try bench.launch("y = x")
      let first = try await bench.driver.prepare(launch)
      #expect(try await bench.driver.prepare(launch).pid == first.pid)
      launch.memoryBytes = 300 << 20
      let second = try await bench.driver.prepare(launch)
      #expect(second.pid != first.pid)
      #expect(ProcFS.statistics(first.pid) == nil)
    }
  }

  @Test func exitsWhileNobodyWatchedAreReportedAfterAdoption() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = x")
      let report = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      bench.driver.close()
      ProcessHandleTool.send(9, to: handle.pid)
      let driver = bench.anotherDriver()
      defer { driver.close() }
      #expect(try await driver.prepare(launch).pid == report.pid)
      let exit = try #require(await nextExit(driver.exits()))
      #expect(exit.instance == handle.instance && exit.error.exitClass == .signal)
    }
  }
}

@Suite(.serialized)
struct OpenCellTests {
  @Test func withoutASandboxCellsRunAsPlainProcesses() async throws {
    try await withWorkbench(sandbox: .off, bubblewrap: "/no/bwrap") { bench in
      #expect(bench.driver.capabilities.missing["filesystem"] == "the sandbox is off")
      let launch = try bench.launch("y = x * 2")
      let report = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      #expect(try await execute(handle, #"{"x": 21}"#) == #"{"y":42}"#)
      await bench.driver.kill(handle)
      #expect(await nextExit(bench.driver.exits())?.instance == handle.instance)
      let second = try await bench.instance(of: launch)
      ProcessHandleTool.kill(report.pid)
      #expect(await nextExit(bench.driver.exits())?.error.exitClass == .signal)
      #expect(try await eventually { ProcFS.statistics(second.pid) == nil })
    }
  }
}
