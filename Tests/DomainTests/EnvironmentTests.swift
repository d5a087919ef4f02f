import Domain
import FoundationEssentials
import Testing

@Suite struct EnvironmentParityTests {
  /// A checkpoint whose cell uses `model` and imports scipy; `plot` is not used by it.
  private func manifest(
    uses: [String] = ["model"], dynamic: Bool = false, distributions: String? = nil, variables: String = "[]",
    packages: String = "{}"
  ) throws -> CheckpointManifest {
    let listed =
      distributions ?? """
        [{"name": "scikit-learn", "version": "1.5.2", "modules": ["sklearn"], "variables": ["model"], "cell": false},
         {"name": "matplotlib", "version": "3.9.0", "modules": ["matplotlib"], "variables": ["plot"], "cell": false},
         {"name": "scipy", "version": "1.14.0", "modules": ["scipy"], "variables": [], "cell": true}]
        """
    let used = uses.map { "{\"name\": \"\($0)\", \"line\": 1}" }.joined(separator: ",")
    let text = """
      {"formatVersion": 1, "createdAt": "2026-11-21T10:00:00Z", "operation": "Cell run",
       "cell": {"source": "out = 1", "code": "out = 1"}, "python": {"version": "3.11.7"}, "packages": \(packages),
       "distributions": \(listed), "variables": \(variables),
       "groups": [{"id": 0, "names": ["model", "mate"], "stream": {"digest": "sha256:a", "size": 1}, "buffers": []}],
       "errors": [], "analysis": {"uses": [\(used)], "stores": [{"name": "out", "line": 1}], "unresolved": [],
       "dynamic": \(dynamic ? "[{\"name\": \"eval\", \"line\": 1}]" : "[]"), "shell": [], "isAsync": false}}
      """
    return try JSONDecoder().decode(CheckpointManifest.self, from: Data(text.utf8))
  }

  private let good = [
    EnvironmentPackage(name: "scikit-learn", version: "1.5.2", modules: ["sklearn"]),
    EnvironmentPackage(name: "SciPy", version: "1.14.0", modules: ["scipy"]),
  ]

  private func kinds(_ found: [EnvironmentFinding]) -> [String] { found.map { "\($0.kind) \($0.package)" } }

  @Test func `an environment with all that the cell needs fits, and what the cell does without is only told`()
    throws
  {
    let found = EnvironmentParity(try manifest(), environment: "e", python: "3.11.2", packages: good)
      .findings()
    #expect(kinds(found) == ["unused matplotlib"])
  }

  @Test func `what is missing is named with its version, who needs it and the fix`() throws {
    let found = EnvironmentParity(try manifest(), environment: "e", python: nil, packages: []).findings()
    #expect(kinds(found) == ["missing scikit-learn", "missing scipy", "unused matplotlib"])
    #expect(
      found[0].message.hasPrefix(
        "package scikit-learn 1.5.2 (module sklearn) is not in environment 'e', and variable 'model' needs it; create an environment with 'scikit-learn==1.5.2'"
      ), "\(found[0].message)")
    #expect(found[1].message.contains("the cell imports it"))
  }

  @Test func `another version is told with both`() throws {
    var packages = good
    packages[0].version = "1.6.0"
    let found = EnvironmentParity(try manifest(), environment: "e", python: nil, packages: packages)
      .findings()
    #expect(kinds(found) == ["differs scikit-learn", "unused matplotlib"])
    #expect(found[0].wanted == "1.5.2" && found[0].found == "1.6.0")
    #expect(found[0].message.contains("is 1.6.0 in environment 'e' and was 1.5.2 in the notebook"))
  }

  @Test func `a variable in one group with a used one is restored, so it counts`() throws {
    let found = EnvironmentParity(
      try manifest(uses: ["mate"]), environment: "e", python: nil, packages: [good[1]]
    ).findings()
    #expect(kinds(found).first == "missing scikit-learn")
  }

  @Test func `with a dynamic cell or a full restore everything counts`() throws {
    let dynamic = EnvironmentParity(
      try manifest(dynamic: true), environment: "e", python: nil, packages: good)
    #expect(kinds(dynamic.findings()) == ["missing matplotlib"])
    let plain = EnvironmentParity(try manifest(), environment: "e", python: nil, packages: good)
    #expect(kinds(plain.findings(restoresAll: true)) == ["missing matplotlib"])
  }

  @Test func `an output that the cell never sets is restored, an input is not`() throws {
    let plain = EnvironmentParity(try manifest(), environment: "e", python: nil, packages: good)
    #expect(kinds(plain.findings(outputs: [Variable(name: "plot", type: .any)])) == ["missing matplotlib"])
    let other = EnvironmentParity(try manifest(uses: ["plot"]), environment: "e", python: nil, packages: good)
    #expect(kinds(other.findings(inputs: [Variable(name: "plot", type: .any)])) == ["unused matplotlib"])
  }

  @Test func `declared types need their package`() throws {
    let plain = EnvironmentParity(try manifest(), environment: "e", python: nil, packages: good)
    let found = plain.findings(inputs: [Variable(name: "table", type: .dataFrame)])
    #expect(kinds(found).first == "missing pandas")
    #expect(found.first?.message.contains("input 'table' is declared as pandas.DataFrame") == true)
  }

  @Test func `another minor version of Python never fits`() throws {
    let found = EnvironmentParity(try manifest(), environment: "e", python: "3.12.1", packages: good)
      .findings()
    #expect(kinds(found).first == "missing python")
    #expect(found.first?.message.contains("--python 3.11") == true)
  }

  @Test func `the same module of another distribution differs`() throws {
    let other = EnvironmentPackage(name: "scikit-learn-fork", version: "2.0", modules: ["sklearn"])
    let found = EnvironmentParity(
      try manifest(), environment: "e", python: nil, packages: [other, good[1]]
    ).findings()
    #expect(kinds(found) == ["differs scikit-learn", "unused matplotlib"])
    #expect(found[0].message.contains("module sklearn comes from scikit-learn-fork 2.0"))
  }

  @Test func `an older checkpoint is judged by its module variables`() throws {
    let old = try manifest(
      uses: ["sk"], distributions: "null",
      variables:
        "[{\"name\": \"sk\", \"type\": \"builtins.module\", \"size\": 0, \"module\": \"sklearn.tree\"}]",
      packages: "{\"sklearn\": \"1.5.2\", \"numpy\": \"2.0\"}")
    #expect(
      kinds(EnvironmentParity(old, environment: "e", python: nil, packages: []).findings()) == [
        "missing sklearn"
      ])
    #expect(EnvironmentParity(old, environment: "e", python: nil, packages: good).findings() == [])
  }

  @Test(arguments: [("Foo_Bar.baz", "foo-bar-baz"), ("a--b__c", "a-b-c"), ("NumPy", "numpy")])
  func `names are compared as PEP 503 says`(_ given: String, _ wanted: String) {
    #expect(EnvironmentParity.normalized(given) == wanted)
  }
}

@Suite struct EnvironmentRequirementsTests {
  private func refusal(_ request: CreateEnvironmentRequest) -> PlatformError? {
    do throws(PlatformError) {
      _ = try EnvironmentRequirements.text(request)
      return nil
    } catch { return error }
  }

  @Test(arguments: [
    "pandas", "pandas==2.2.3  # see https://example.org", "a[x,y]>=1,<2; python_version > '3.9'",
    "# only\nb\n\n",
    "c==1 \\\n  --hash=sha256:00", "d @ https://example.org/d-1.0-py3-none-any.whl", "e==1\r\nf==2\r\n",
  ])
  func `lists of packages are taken`(_ text: String) {
    #expect(refusal(CreateEnvironmentRequest(name: "x", requirements: text)) == nil)
  }

  @Test(arguments: [
    ("-r other.txt", "line 1: the option '-r'"),
    ("a\n--index-url https://x", "line 2: the option '--index-url'"),
    ("-e .", "the option '-e'"), ("./folder", "'./folder' is not a package"),
    ("git+https://x/y", "is not a package"),
    ("file:///etc/passwd", "is not a package"), ("/etc/passwd", "is not a package"),
    ("# nothing", "no package in it"),
    ("a\u{0}b", "zero byte"), ("a @ file:///etc/passwd", "is not a package"),
  ])
  func `what would be read on the server is refused by line`(_ text: String, _ words: String) {
    let refused = refusal(CreateEnvironmentRequest(name: "x", requirements: text))
    #expect(
      refused?.field == "requirements" && refused?.message.contains(words) == true,
      "\(text): \(refused?.message ?? "-")")
  }

  @Test func `a preset goes together with requirements, a lock stands alone`() throws {
    let both = try EnvironmentRequirements.text(
      CreateEnvironmentRequest(name: "x", requirements: "mine==1", presets: ["torch", "default"]))
    #expect(both.text.hasSuffix("torchvision\nmine==1") && both.text.hasPrefix("numpy\n") && !both.isLock)
    let lock = "a==1 --hash=sha256:00"
    #expect(try EnvironmentRequirements.text(CreateEnvironmentRequest(name: "x", lock: lock)).isLock)
    #expect(refusal(CreateEnvironmentRequest(name: "x", lock: lock, presets: ["torch"]))?.field == "lock")
    #expect(refusal(CreateEnvironmentRequest(name: "x", lock: "a==1"))?.message.contains("hashes") == true)
    #expect(refusal(CreateEnvironmentRequest(name: "x", lock: "a"))?.message.contains("no version") == true)
    #expect(refusal(CreateEnvironmentRequest(name: "x"))?.field == "requirements")
  }

  @Test(arguments: ["3", "3.8", "2.7", "3.11.7", "3.x", "", "4.1"])
  func `a version of Python that nodes can't run is refused`(_ text: String) {
    #expect(throws: PlatformError.self) { try EnvironmentRequirements.checkPython(text) }
  }
}
