import Testing

@testable import Wire

@Suite struct ExpositionTests {
  private func read(_ text: String, openMetrics: Bool = false) throws(ExpositionFault)
    -> ExpositionText.Reading
  {
    try ExpositionText.read(Array(text.utf8), isOpenMetrics: openMetrics)
  }

  private func written(_ families: [MetricFamily]) -> String {
    var merge = ExpositionMerge()
    _ = merge.add(ExpositionPart(families, adding: []))
    return String(decoding: merge.text, as: UTF8.self)
  }

  @Test func readsWhatTheFormatShows() throws {
    let reading = try read(
      #"""
      # HELP http_requests_total The total number of HTTP requests.
      # TYPE http_requests_total counter
      http_requests_total{method="post",code="200"} 1027 1395066363000
      http_requests_total{method="post",code="400"}    3 1395066363000

      # Escaping in label values:
      msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
      metric_without_timestamp_and_labels 12.47
      something_weird{problem="division by zero",} +Inf -3982045

      # TYPE http_request_duration_seconds histogram
      http_request_duration_seconds_bucket{le="0.05"} 24054
      http_request_duration_seconds_bucket{le="+Inf"} 144320
      http_request_duration_seconds_sum 53423
      http_request_duration_seconds_count 144320

      # TYPE rpc_duration_seconds summary
      rpc_duration_seconds{quantile="0.01"} 3102
      rpc_duration_seconds_sum 1.7560473e+07
      rpc_duration_seconds_count 2693
      """#)
    let families = reading.families
    #expect(
      families.map(\.name) == [
        "http_requests_total", "msdos_file_access_time_seconds", "metric_without_timestamp_and_labels",
        "something_weird", "http_request_duration_seconds", "rpc_duration_seconds",
      ])
    #expect(
      families.map(\.kind) == [.counter, .untyped, .untyped, .untyped, .histogram, .summary])
    #expect(families[0].samples[0].milliseconds == 1_395_066_363_000)
    #expect(families[1].samples[0].labels[1].value == "Cannot find file:\n\"FILE.TXT\"")
    #expect(families[3].samples[0].value == .infinity)
    #expect(families[4].samples.count == 4 && families[5].samples.count == 3)
    #expect(reading.sampleCount == 12)
    #expect(try read(written(families)).families == families)
  }

  @Test func openMetricsBecomesTheOlderFormat() throws {
    let reading = try read(
      """
      # TYPE hits counter
      # HELP hits How often.
      # UNIT hits seconds
      hits_total{path="/"} 17.0 1520879607.789 # {trace="a"} 0.67 1520879607.1
      hits_created{path="/"} 1520430000.1
      # TYPE build info
      build_info{version="2"} 1
      # TYPE state stateset
      state{state="on"} 1
      # TYPE sizes gaugehistogram
      sizes_bucket{le="+Inf"} 4
      sizes_gcount 4
      sizes_gsum 9
      # EOF
      this is not looked at
      """, openMetrics: true)
    #expect(
      reading.families.map { "\($0.name) \($0.kind.rawValue)" } == [
        "hits_total counter", "build_info gauge", "state gauge", "sizes_bucket gauge", "sizes_gsum gauge",
        "sizes_gcount gauge",
      ])
    #expect(reading.families[0].help == "How often.")
    #expect(reading.families[0].samples.map(\.milliseconds) == [1_520_879_607_789])
    #expect(try read("# TYPE a counter\na_total 1\n# EOF\n").families.map(\.name) == ["a_total"])
  }

  @Test(arguments: [
    ("a{b=\"c\"", "line 1: a , or } is missing after label b"),
    ("ok 1\na{b=c} 1", "line 2: the value of label b is not in quotes"),
    ("a{b=\"c} 1", "line 1: the value of label b does not end"),
    ("a{b=\"1\",b=\"2\"} 1", "line 1: label b is there twice"),
    ("a{__name__=\"x\"} 1", "line 1: a label can't be called __name__"),
    ("a one", "line 1: the value of a is not a number: 'one'"),
    ("a 0x10", "line 1: the value of a is not a number: '0x10'"),
    ("a 1_0", "line 1: the value of a is not a number: '1_0'"),
    ("a", "line 1: the value of a is not a number: ''"),
    ("a 1 2 3", "line 1: there is more on the line than a sample has"),
    ("a 1 now", "line 1: the time of a is not a number: 'now'"),
    ("<html>", "line 1: the name of a metric is missing: '<html>'"),
    ("# TYPE a gauge\n# TYPE a counter", "line 2: the type of a is given twice"),
    ("a 1\n# TYPE a gauge", "line 2: the type of a comes after its first sample"),
    ("# TYPE a speed", "line 1: 'speed' is not a type of metric"),
    ("# TYPE a histogram\na 1", "line 2: a is a histogram: its samples end with _bucket, _sum or _count"),
    (
      "# TYPE a histogram\na_bucket 1",
      "line 2: a_bucket needs a label le with a number: its metric is a histogram"
    ),
    ("a{b=\"\\q\"} 1", "line 1: a \\ is followed by something that can't be"),
  ])
  func saysWhatIsWrongAndWhere(_ text: String, _ words: String) {
    let fault = #expect(throws: ExpositionFault.self) { try read(text) }
    #expect(fault?.description == words)
  }

  @Test func refusesTooMuch() {
    let text = (0...10).map { "a{n=\"\($0)\"} 1\n" }.joined()
    #expect(throws: ExpositionFault(line: 11, "more than 10 samples")) {
      try ExpositionText.read(Array(text.utf8), limits: .init(samples: 10))
    }
  }

  @Test func aSeriesCountsOnce() throws {
    let reading = try read("a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\",z=\"\"} 7\n")
    #expect(reading.repeated == 1 && reading.families[0].samples.map(\.value) == [1])
  }

  @Test func labelsOfThePlatformWinAndKeepWhatWasThere() {
    var sample = MetricSample(
      name: "a",
      labels: [
        MetricLabel("node", "mine"), MetricLabel("exported_node", "other"), MetricLabel("le", "1"),
      ], value: 1)
    sample.relabel([MetricLabel("node", "web")])
    #expect(
      sample.labels == [
        MetricLabel("node", "web"), MetricLabel("exported_exported_node", "mine"),
        MetricLabel("exported_node", "other"), MetricLabel("le", "1"),
      ])
  }

  @Test func aFamilyOfManySourcesHasOneHead() throws {
    var merge = ExpositionMerge()
    let source = try read("# HELP a Help.\n# TYPE a counter\na 1\nb{instance_id=\"x\"} 2\n").families
    for id in ["i1", "i2"] {
      let left = merge.add(ExpositionPart(source, adding: [MetricLabel("instance_id", id)]))
      #expect(left == 0)
    }
    let other = try read("# TYPE a gauge\na 3\n# TYPE c histogram\nc_count 1\n").families
    #expect(merge.add(ExpositionPart(other, adding: [])) == 1, "a is a counter already")
    #expect(merge.add(ExpositionPart(try read("c_count 5\n").families, adding: [])) == 1)
    #expect(
      String(decoding: merge.text, as: UTF8.self) == """
        # HELP a Help.
        # TYPE a counter
        a{instance_id="i1"} 1
        a{instance_id="i2"} 1
        # TYPE b untyped
        b{instance_id="i1",exported_instance_id="x"} 2
        b{instance_id="i2",exported_instance_id="x"} 2
        # TYPE c histogram
        c_count 1

        """)
  }
}
