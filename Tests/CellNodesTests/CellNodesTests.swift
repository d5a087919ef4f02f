import Domain
import DriverAPI
import Glibc
import Sandboxing
import Testing

@testable import CellNodes

@Suite(.serialized, .enabled(if: machineLacks == nil))
struct CellDriverTests {
  @Test func aPreparedNodeStartsInstancesThatAnswerRequests() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = x * 2")
      let report = try await bench.driver.prepare(launch)
      #expect(report.mode == "fork")
      let first = try await bench.instance(of: launch)
      let second = try await bench.instance(of: launch)
      #expect(try await execute(first, #"{"x": 21}"#) == #"{"y":42}"#)
      #expect(try await execute(second, #"{"x": 4}"#) == #"{"y":8}"#)
      #expect(await bench.driver.probe(first, timeout: .seconds(5)))
      #expect(await bench.driver.recover(first))
      let usage = try #require(await bench.driver.usage(first))
      #expect(usage.proportionalBytes > 0 && usage.sharedBytes > 0)
      let group = bench.group().child(first.instance.text)
      #expect(group.members() == [first.pid] && group.holds(first.pid) && !group.holds(second.pid))
      #expect(group.memoryLimit == launch.memoryBytes)
      #expect(try await bench.driver.start(first.instance, of: launch) == first)
    }
  }

  @Test func aStartThatFailsLeavesNoGroupBehind() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = x")
      let report = try await bench.driver.prepare(launch)
      ProcessHandleTool.send(15, to: report.pid)
      let id = InstanceID.random()
      await #expect(throws: DriverFailure.self) { _ = try await bench.driver.start(id, of: launch) }
      #expect(bench.group().child(id.text).folders.allSatisfy { !Files.exists($0) })
    }
  }

  @Test func aSpawnedInstanceIsInItsGroupToo() async throws {
    try await withWorkbench { bench in
      var launch = try bench.launch("y = x + 1")
      launch.startMode = .spawn
      #expect(try await bench.driver.prepare(launch).mode == "spawn")
      let handle = try await bench.instance(of: launch)
      #expect(bench.group().child(handle.instance.text).members() == [handle.pid])
      #expect(try await execute(handle, #"{"x": 1}"#) == #"{"y":2}"#)
    }
  }

  @Test func aKilledInstanceIsReported() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = x")
      _ = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      await bench.driver.kill(handle)
      let exit = try #require(await nextExit(bench.driver.exits()))
      #expect(exit.instance == handle.instance)
      #expect(exit.error.exitClass == .signal)
      #expect(exit.error.message.contains("was ended by signal 9 (SIGKILL)"))
      #expect(await !bench.driver.recover(handle))
      #expect(try await eventually { !Files.exists(bench.folder().socket(of: handle.instance)) })
      #expect(try await eventually { bench.group().children() == ["zygote"] })
    }
  }

  @Test func anInstanceThatExitsByItselfIsReportedWithItsCode() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("import os\nos._exit(3)")
      _ = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      _ = try? await execute(handle, #"{"x": 1}"#)
      let exit = try #require(await nextExit(bench.driver.exits()))
      #expect(exit.error.exitClass == .exit)
      #expect(exit.error.message.contains("ended with exit code 3"))
    }
  }

  @Test func anInstanceAboveItsMemoryLimitIsReportedAsOutOfMemory() async throws {
    try await withWorkbench { bench in
      var launch = try bench.launch("y = len(bytearray(x))", memory: 200 << 20)
      launch.checkpoint = "'sums' (cp1)"
      _ = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      #expect(try await execute(handle, #"{"x": 1000000}"#) == #"{"y":1000000}"#)
      _ = try? await execute(handle, #"{"x": 600000000}"#)
      let exit = try #require(await nextExit(bench.driver.exits()))
      #expect(exit.error.exitClass == .outOfMemory)
      #expect(
        exit.error.message.contains(
          "exceeded its memory limit of 200 MiB (peak 200 MiB) while it ran request req; "
            + "it is being recreated from checkpoint 'sums' (cp1); if the cell needs more"),
        "\(exit.error.message)")
      #expect(try await eventually { !Files.exists(bench.folder().mark(of: handle.instance)) })
    }
  }

  @Test func aRequestAboveTheMemoryLimitIsToldThoughItsInstanceGoesOn() async throws {
    try await withWorkbench { bench in
      var launch = try bench.launch(
        "import os\ny = len(bytearray(x)) if x else os._exit(3)", memory: 200 << 20)
      launch.checkpoint = "'sums' (cp1)"
      launch.isolation = .request
      _ = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      let answer = try await execute(handle, #"{"x": 600000000}"#)
      #expect(answer.contains("SIGKILL"), "\(answer)")
      let exit = try #require(await nextExit(bench.driver.exits()))
      #expect(exit.instance == handle.instance && exit.instanceGoesOn)
      #expect(exit.error.exitClass == .outOfMemory)
      #expect(
        exit.error.message.contains(
          "the process of request req exceeded its memory limit of 200 MiB (peak 200 MiB) in instance "
            + "\(handle.instance); the instance goes on with the state of checkpoint 'sums' (cp1); if the cell"
        ), "\(exit.error.message)")
      #expect(try await execute(handle, #"{"x": 1000000}"#) == #"{"y":1000000}"#)
      #expect(await bench.driver.recover(handle))
      // The kills that have been told of are not those of a later end.
      await bench.driver.kill(handle)
      let end = try #require(await nextExit(bench.driver.exits()))
      #expect(end.error.exitClass == .signal && !end.instanceGoesOn, "\(end.error.message)")
    }
  }

  @Test func requestsThatLoseTheirProcessOneAfterTheOtherAreNotAllTold() async throws {
    try await withWorkbench { bench in
      var launch = try bench.launch("import os\nos._exit(x)")
      launch.isolation = .request
      _ = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      for code in 3..<13 { _ = try await execute(handle, #"{"x": \#(code)}"#) }
      let first = try #require(await nextExit(bench.driver.exits()))
      #expect(first.error.message.contains("ended with exit code 3 in instance"), "\(first.error.message)")
      await bench.driver.kill(handle)
      var told = 1
      while let next = await nextExit(bench.driver.exits()), next.instanceGoesOn { told += 1 }
      #expect(told < 10)
    }
  }

  @Test func aForgedNoteOfTheRunningRequestIsNotBelieved() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch(
        """
        import glob, os
        mark = glob.glob("/run/roost/sock/*.run")[0]
        os.unlink(mark)
        os.symlink("/run/roost/zygote.json", mark)
        os.kill(os.getpid(), 9)
        y = x
        """)
      _ = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      _ = try? await execute(handle, #"{"x": 1}"#)
      let exit = try #require(await nextExit(bench.driver.exits()))
      #expect(exit.error.message.contains("signal 9 (SIGKILL); it is being"), "\(exit.error.message)")
    }
  }

  @Test func aRenamedCheckpointKeepsItsHost() async throws {
    try await withWorkbench { bench in
      var launch = try bench.launch("y = x")
      let first = try await bench.driver.prepare(launch)
      launch.checkpoint = "'another' (cp1)"
      #expect(try await bench.driver.prepare(launch).pid == first.pid)
      bench.driver.close()
      let driver = bench.anotherDriver()
      defer { driver.close() }
      launch.checkpoint = "'third' (cp1)"
      #expect(try await driver.prepare(launch).pid == first.pid)
    }
  }

  @Test func theDeathOfTheZygoteEndsAndReportsAllItsInstances() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = x")
      let report = try await bench.driver.prepare(launch)
      let first = try await bench.instance(of: launch)
      let second = try await bench.instance(of: launch)
      ProcessHandleTool.kill(report.pid)
      let exits = await firstExits(3, bench.driver.exits())
      #expect(exits.allSatisfy { $0.error.exitClass == .signal })
      let seen = exits.map(\.instance)
      #expect(seen.first == .some(nil), "the host comes first")
      #expect(Set(seen) == [first.instance, second.instance, nil])
      #expect(bench.group().members().isEmpty)
      #expect(await !bench.driver.recover(first))
      let again = try await bench.driver.prepare(launch)
      #expect(again.pid != report.pid)
      let third = try await bench.instance(of: launch)
      #expect(try await execute(third, #"{"x": 5}"#) == #"{"y":5}"#)
    }
  }

  @Test func aNewDriverAdoptsTheRunningZygoteAndItsInstances() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("n = globals().get('n', 0) + 1\ny = n")
      let report = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      #expect(try await execute(handle, #"{"x": 0}"#) == #"{"y":1}"#)
      bench.driver.close()
      let driver = bench.anotherDriver()
      defer { driver.close() }
      #expect(try await driver.prepare(launch).pid == report.pid)
      #expect(await driver.recover(handle))
      #expect(await driver.probe(handle, timeout: .seconds(5)))
      #expect(try await execute(handle, #"{"x": 0}"#) == #"{"y":2}"#)
      await driver.kill(handle)
      let exit = try #require(await nextExit(driver.exits()))
      #expect(exit.instance == handle.instance)
      let fresh = try await driver.start(InstanceID.random(), of: launch)
      try await driver.begin(fresh)
      #expect(try await execute(fresh, #"{"x": 0}"#) == #"{"y":1}"#)
    }
  }

  @Test func anAdoptedZygotesDeathIsReportedForItsInstancesEvenWhenPrepareComesFirst() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = x")
      let report = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      bench.driver.close()
      let driver = bench.anotherDriver()
      defer { driver.close() }
      _ = try await driver.prepare(launch)
      ProcessHandleTool.kill(report.pid)
      #expect(try await driver.prepare(launch).pid != report.pid)
      let seen = await firstExits(2, driver.exits()).map(\.instance)
      #expect(seen == [nil, handle.instance])
      let fresh = try await driver.start(InstanceID.random(), of: launch)
      try await driver.begin(fresh)
      #expect(try await execute(fresh, #"{"x": 3}"#) == #"{"y":3}"#)
      await driver.retire(bench.node, release: 1)
    }
  }

  @Test func savedStateIsRestoredAndSharedByForks() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launchWithState()
      let report = try await bench.driver.prepare(launch)
      #expect(report.restored == ["table"])
      #expect(report.restoreSeconds >= 0)
      let handle = try await bench.instance(of: launch)
      #expect(try await execute(handle, #"{"x": 2}"#) == #"{"y":9}"#)
    }
  }

  @Test func aNodeWithTheHostsNetworkSeesIt() async throws {
    try await withWorkbench { bench in
      var launch = try bench.launch("import os\ny = os.readlink('/proc/self/ns/net')")
      _ = try await bench.driver.prepare(launch)
      let own = try #require(FileLink.target("/proc/self/ns/net"))
      #expect(try await execute(try await bench.instance(of: launch), #"{"x": 0}"#) != "{\"y\":\"\(own)\"}")
      launch.subnet = .host
      _ = try await bench.driver.prepare(launch)
      #expect(try await execute(try await bench.instance(of: launch), #"{"x": 0}"#) == "{\"y\":\"\(own)\"}")
    }
  }

  @Test func afterARestartInstancesAnswerChecksAndCanBeStoppedBeforePrepare() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = x")
      let report = try await bench.driver.prepare(launch)
      let first = try await bench.instance(of: launch)
      let second = try await bench.instance(of: launch)
      bench.driver.close()
      let driver = bench.anotherDriver()
      defer { driver.close() }
      #expect(await driver.probe(first, timeout: .seconds(2)))
      await driver.stop(first, grace: .seconds(2))
      #expect(bench.group().children() == [second.instance.text, "zygote"].sorted())
      #expect(await driver.probe(second, timeout: .seconds(2)))
      #expect(try await driver.prepare(launch).pid == report.pid)
      await driver.kill(second)
      #expect(await nextExit(driver.exits())?.instance == second.instance)
    }
  }

  @Test func anInstanceIsStoppedWithoutAHost() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = x")
      let report = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      bench.driver.close()
      ProcessHandleTool.kill(report.pid)
      let driver = bench.anotherDriver()
      defer { driver.close() }
      #expect(await !driver.probe(handle, timeout: .seconds(1)))
      await driver.stop(handle, grace: .zero)
      #expect(await !driver.recover(handle))
      #expect(!bench.group().children().contains(handle.instance.text))
      #expect(try await driver.prepare(launch).pid != report.pid)
    }
  }

  @Test func aSandboxHasNoNetworkNoDataFolderAndAReadOnlySystem() async throws {
    try await withWorkbench { bench in
      let cell = """
        import os, socket, ctypes
        def attempt(f):
          try:
            return str(f())
          except OSError as error:
            return type(error).__name__ + ' ' + str(error.errno)
        libc = ctypes.CDLL(None, use_errno=True)
        y = {
          'connect': attempt(lambda: socket.create_connection(('1.1.1.1', 80), 1)),
          'write': attempt(lambda: open('/usr/probe', 'w')),
          'data': attempt(lambda: os.listdir(x)),
          'manifest': attempt(lambda: open('/run/roost/manifest.json', 'a')),
          'uid': os.getuid(), 'pids': len([p for p in os.listdir('/proc') if p.isdigit()]) < 10,
          'unshare': libc.unshare(0x10000000), 'host': os.uname().nodename,
          'environment': 'PATH' in os.environ and 'SUDO_USER' not in os.environ,
          'private': open('/tmp/mine', 'w').write('ok'),
        }
        """
      let launch = try bench.launch(cell)
      _ = try await bench.driver.prepare(launch)
      let answer = try await execute(try await bench.instance(of: launch), "{\"x\": \"\(bench.root)\"}")
      #expect(answer.contains(#""connect":"OSError 101""#), "\(answer)")
      #expect(answer.contains(#""write":"OSError 30""#), "\(answer)")
      #expect(answer.contains(#""data":"FileNotFoundError 2""#), "\(answer)")
      #expect(answer.contains(#""manifest":"OSError 30""#), "\(answer)")
      #expect(answer.contains(#""uid":65534,"pids":true,"unshare":-1,"host":"doubler""#), "\(answer)")
      #expect(!Files.exists("/tmp/mine"))
    }
  }

  @Test func retireLeavesNothingButTheLog() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("import subprocess\np = subprocess.Popen(['sleep', '1000'])\ny = p.pid")
      let report = try await bench.driver.prepare(launch)
      let handle = try await bench.instance(of: launch)
      _ = try await execute(handle, #"{"x": 1}"#)
      let members = bench.group().members()
      #expect(members.count >= 5)
      await bench.driver.retire(bench.node, release: 1)
      // The sandbox's first process is left to init, which removes its entry in its own time.
      #expect(
        try await eventually { members.allSatisfy { (ProcFS.statistics($0)?.state ?? "Z") == "Z" } },
        "\(members)")
      #expect(ProcFS.statistics(report.pid) == nil)
      #expect(bench.group().folders.allSatisfy { !Files.exists($0) })
      #expect(!Files.exists(bench.folder().path))
      #expect(ProcFS.mountPoints().allSatisfy { !$0.hasPrefix(bench.root) })
      #expect(Files.exists(bench.folder().logFolder))
      await bench.driver.retire(bench.node, release: 1)
    }
  }

  @Test func sweepEndsHostsThatNobodyKeeps() async throws {
    try await withWorkbench { bench in
      let kept = try bench.launch("y = 1", release: 1)
      let left = try bench.launch("y = 2", release: 2)
      let keptReport = try await bench.driver.prepare(kept)
      let leftReport = try await bench.driver.prepare(left)
      try bench.group(7).make()
      await bench.driver.sweep(keeping: [(bench.node, 1)])
      #expect(ProcFS.statistics(keptReport.pid) != nil)
      #expect(ProcFS.statistics(leftReport.pid) == nil)
      #expect(!Files.exists(bench.folder(2).path))
      #expect(bench.driver.launcher.tree.groups() == [bench.folder(1).name])
    }
  }

  @Test func stopEndsAnInstanceWithoutAReport() async throws {
    try await withWorkbench { bench in
      let launch = try bench.launch("y = x")
      _ = try await bench.driver.prepare(launch)
      let first = try await bench.instance(of: launch)
      let second = try await bench.instance(of: launch)
      await bench.driver.stop(first, grace: .seconds(5))
      #expect(await !bench.driver.recover(first))
      #expect(!Files.exists(bench.folder().socket(of: first.instance)))
      #expect(bench.group().children() == [second.instance.text, "zygote"].sorted())
      await bench.driver.stop(first, grace: .seconds(5))
      await bench.driver.kill(second)
      #expect(await nextExit(bench.driver.exits())?.instance == second.instance)
    }
  }
}

/// Signals from outside, as an operator would send them.
enum ProcessHandleTool {
  static func kill(_ pid: Int32) { send(9, to: pid) }

  static func send(_ signal: Int32, to pid: Int32) {
    do {
      let process = try ProcessHandle(pid: pid)
      process.signal(signal)
      if signal == SIGKILL { #expect(process.wait(.seconds(10))) }
    } catch { Issue.record("\(error)") }
  }
}

enum FileLink {
  static func target(_ path: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 256)
    let count = readlink(path, &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
  }
}
