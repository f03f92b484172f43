// Draws the pictures of a report with ECharts, from the figures in the page. No request leaves the page.
(function () {
  "use strict";
  var pictures = JSON.parse(document.getElementById("pictures").textContent);
  var dark = window.matchMedia("(prefers-color-scheme: dark)");
  var still = window.matchMedia("(prefers-reduced-motion: reduce)");
  var charts = {}, shownFigure = {}, printing = false;

  // Okabe and Ito's colours, which people with any colour vision tell apart; lighter ones on dark ground.
  var LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9", "#7f4fc9", "#666666", "#b8860b", "#17375e", "#a0304a"];
  var DARK = ["#56b4e9", "#ff9d5c", "#3dd6a3", "#f0a6cf", "#f0e442", "#9fd8ff", "#c3a6ff", "#c0c0c0", "#ffcc66", "#8fb4ff", "#ff9db0"];
  var OF_KIND = Object.assign(Object.create(null), {
    "kept": 0, "dropped": 4, "failed": 1, "working": 2, "waiting in the queue": 7, "script and shell": 9, "checks": 5,
    "Ray starts": 0, "waiting for nodes": 4, "pipeline starts": 3, "draining": 6, "publishing": 8, "between shards": 10,
    "teardown": 1, "done": 2, "at work": 0, "failed or cancelled": 1
  });

  function palette() {
    var isDark = dark.matches && !printing;
    return {
      colours: isDark ? DARK : LIGHT, ink: isDark ? "#e6edf3" : "#16202a", soft: isDark ? "#a9b7c4" : "#4a5866",
      line: isDark ? "#3a4753" : "#cfd7de", back: isDark ? "#11171d" : "#ffffff", card: isDark ? "#1b242d" : "#ffffff",
      ramp: isDark ? ["#16242f", "#1f5f86", "#56b4e9", "#f0e442"] : ["#eef4f8", "#9ecae1", "#2b7bba", "#08306b"]
    };
  }
  function colourOf(name, number, look) {
    return look.colours[(name in OF_KIND ? OF_KIND[name] : number) % look.colours.length];
  }

  // Numbers in words

  function seconds(value) {
    if (value === null || value === undefined) { return "-"; }
    var whole = Math.round(value), days = Math.floor(whole / 86400), hours = Math.floor(whole / 3600) % 24;
    var minutes = Math.floor(whole / 60) % 60, rest = whole % 60;
    if (days) { return days + "d " + hours + "h"; }
    if (hours) { return hours + "h" + (minutes ? " " + minutes + "m" : ""); }
    if (minutes) { return minutes + "m" + (rest ? " " + rest + "s" : ""); }
    return (value < 10 ? Math.round(value * 10) / 10 : rest) + "s";
  }
  function bytes(value) {
    var units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"], at = 0;
    while (value >= 1024 && at < units.length - 1) { value /= 1024; at += 1; }
    return (at ? value.toFixed(1).replace(".0", "") : String(Math.round(value))) + " " + units[at];
  }
  // The next larger of 1, 2, 5, ... 500 bytes, KiB, MiB and so on.
  function byteStep(least) {
    for (var unit = 1; ; unit *= 1024) {
      for (var step = 1; step < 1000; step *= 10) {
        for (var many of [1, 2, 5]) { if (many * step * unit >= least) { return many * step * unit; } }
      }
    }
  }
  function figure(value, unit) {
    if (value === null || value === undefined) { return "-"; }
    if (unit === "share") { return Math.round(value * 100) + "%"; }
    if (unit === "bytes") { return bytes(value); }
    if (unit === "s") { return seconds(value); }
    if (unit === "bytes/s") { return bytes(value) + "/s"; }
    return (Math.abs(value) >= 100 ? Math.round(value) : Math.round(value * 100) / 100).toLocaleString("en") +
      (unit ? " " + unit : "");
  }
  // On an axis: `15K` and `2.5M`, which fit below each other's marks.
  function inShort(value) {
    return value.toLocaleString("en", Math.abs(value) < 10000 ? {} : { notation: "compact", maximumFractionDigits: 2 });
  }
  function escaped(text) {
    return String(text).replace(/[&<>"']/g, function (c) { return "&#" + c.charCodeAt(0) + ";"; });
  }
  function shortened(text, most) { return text.length > most ? text.slice(0, most - 1) + "…" : text; }

  // What all pictures share

  function base(look, narrow) {
    return {
      animation: !still.matches && !printing, backgroundColor: "transparent", color: look.colours,
      aria: { enabled: true }, textStyle: { color: look.ink, fontFamily: "inherit" },
      grid: { left: 8, right: 28, top: 40, bottom: 8, containLabel: true },
      legend: { type: "scroll", top: 0, left: 0, formatter: function (name) { return shortened(name, narrow ? 22 : 44); }, textStyle: { color: look.ink }, pageTextStyle: { color: look.ink },
        pageIconColor: look.ink, pageIconInactiveColor: look.line },
      tooltip: { confine: true, backgroundColor: look.card, borderColor: look.line, textStyle: { color: look.ink } }
    };
  }
  function axis(look, more) {
    return Object.assign({
      axisLabel: { color: look.ink, hideOverlap: true }, axisLine: { lineStyle: { color: look.soft } },
      axisTick: { lineStyle: { color: look.soft } }, splitLine: { lineStyle: { color: look.line } },
      nameTextStyle: { color: look.ink }
    }, more);
  }
  // From 0 to `end`, where that is known: then the marks are at whole minutes or hours.
  var STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  function timeAxis(look, end, narrow) {
    var found = axis(look, { type: "value", min: 0 }), most = narrow ? 4 : 9;
    if (end > 1) {
      found.max = end;
      found.interval = STEPS.find(function (step) { return end / step <= most; }) || Math.ceil(end / most / 86400) * 86400;
    }
    found.axisLabel = { color: look.ink, hideOverlap: true, formatter: seconds, alignMaxLabel: "right" };
    return found;
  }
  // The longest bar, whether they are beside or behind each other.
  function longest(picture) {
    return Math.max.apply(null, picture.rows.map(function (_, row) {
      var all = picture.series.map(function (one) { return one.values[row] || 0; });
      return picture.beside ? Math.max.apply(null, all) : all.reduce(function (sum, value) { return sum + value; }, 0);
    }));
  }
  function rowAxis(look, rows, narrow) {
    var found = axis(look, { type: "category", data: rows, inverse: true });
    found.axisLabel = {
      color: look.ink, interval: rows.length > 40 ? "auto" : 0,
      formatter: function (name) { return shortened(name, narrow ? 16 : 34); }
    };
    return found;
  }
  function heightOf(rows, each, least, most) { return Math.min(Math.max(rows * each + 80, least), most); }

  // One function for each kind of picture: its height, and its option

  var WHOLE = ["tasks", "workers"];
  var kinds = {
    bars: {
      height: function (picture) { return heightOf(picture.rows.length, picture.beside ? 48 : 34, 160, 900); },
      option: function (picture, look, narrow) {
        var option = base(look, narrow);
        option.aria = { enabled: true, decal: { show: true } };
        option.tooltip.trigger = "axis";
        option.tooltip.axisPointer = { type: "shadow" };
        option.tooltip.valueFormatter = function (value) { return figure(value, picture.unit); };
        if (picture.unit === "s") {
          option.xAxis = timeAxis(look, longest(picture), narrow);
        } else {
          option.xAxis = axis(look, { type: "value", name: picture.unit, nameLocation: "middle", nameGap: 26, minInterval: 1 });
          option.xAxis.axisLabel.formatter = inShort;
          option.xAxis.axisLabel.alignMaxLabel = "right";
        }
        option.grid.bottom = 28;
        option.yAxis = rowAxis(look, picture.rows, narrow);
        option.series = picture.series.map(function (one, number) {
          return { type: "bar", name: one.name, stack: picture.beside ? null : "all", data: one.values, barMaxWidth: 26,
            itemStyle: { color: colourOf(one.name, number, look) } };
        });
        return option;
      }
    },
    columns: {
      height: function () { return 320; },
      option: function (picture, look, narrow) {
        var option = base(look, narrow);
        option.aria = { enabled: true, decal: { show: true } };
        option.tooltip.trigger = "axis";
        option.xAxis = axis(look, { type: "category", data: picture.columns });
        option.yAxis = axis(look, { type: "value", name: picture.unit, minInterval: 1 });
        option.yAxis.axisLabel.formatter = inShort;
        option.grid.top = 64;
        option.series = picture.series.map(function (one, number) {
          return { type: "bar", name: one.name, stack: "all", data: one.values,
            itemStyle: { color: colourOf(one.name, number, look) } };
        });
        return option;
      }
    },
    lines: {
      height: function () { return 280; },
      option: function (picture, look, narrow) {
        var option = base(look, narrow), dashes = ["solid", "dashed", "dotted"];
        option.tooltip.trigger = "axis";
        option.tooltip.valueFormatter = function (value) { return figure(value, picture.unit); };
        option.tooltip.axisPointer = { label: { formatter: function (at) { return seconds(at.value); } } };
        var ends = picture.series.map(function (one) { return one.points.length ? one.points[one.points.length - 1][0] : 0; });
        option.xAxis = timeAxis(look, Math.max.apply(null, ends), narrow);
        option.yAxis = axis(look, { type: "value", min: 0, name: picture.unit === "share" ? "" : picture.unit,
          max: picture.unit === "share" ? 1 : null, minInterval: WHOLE.indexOf(picture.unit) < 0 ? 0 : 1 });
        option.yAxis.axisLabel = { color: look.ink, formatter: function (value) {
          return picture.unit === "share" ? figure(value, "share") : inShort(value);
        } };
        option.grid.top = 64;
        option.series = picture.series.map(function (one, number) {
          return { type: "line", name: one.name, data: one.points, showSymbol: one.points.length < 2,
            connectNulls: false, lineStyle: { width: 2, type: dashes[Math.floor(number / 5) % 3] },
            itemStyle: { color: colourOf(one.name, number, look) } };
        });
        return option;
      }
    },
    spans: {
      height: function (picture) {
        return picture.numbered ? heightOf(picture.numbered, 4, 260, 640) : heightOf(picture.rows.length, 26, 170, 900);
      },
      option: function (picture, look, narrow) {
        var option = base(look, narrow), end = 0;
        picture.spans.forEach(function (span) { end = Math.max(end, span[3]); });
        option.xAxis = timeAxis(look, end, narrow);
        option.yAxis = picture.numbered ?
          axis(look, { type: "value", inverse: true, min: 0, max: picture.numbered, name: "shard", nameLocation: "start" }) :
          rowAxis(look, picture.rows, narrow);
        option.grid.top = picture.numbered || picture.kinds.length > 6 ? 64 : 40;
        if (!narrow) { option.legend.type = "plain"; }
        option.tooltip.formatter = function (at) {
          var span = at.value, row = picture.numbered ? "shard " + span[0] : picture.rows[span[0]];
          return escaped(row) + "<br>" + escaped(at.seriesName) + ": " + seconds(span[2] - span[1]) +
            "<br>from " + seconds(span[1]) + " to " + seconds(span[2]);
        };
        option.series = picture.kinds.map(function (name, number) {
          var mine = picture.spans.filter(function (span) { return span[1] === number; });
          return {
            type: "custom", name: name, itemStyle: { color: colourOf(name, number, look) },
            encode: { x: [1, 2], y: 0 }, progressive: 2000, clip: true,
            data: mine.map(function (span) { return [span[0], span[2], span[3]]; }),
            renderItem: function (parameters, api) {
              var from = api.coord([api.value(1), api.value(0)]), to = api.coord([api.value(2), api.value(0)]);
              var high = Math.max(Math.abs(api.size([0, 1])[1]) * (picture.numbered ? 1 : 0.66), 1);
              var top = picture.numbered ? from[1] : from[1] - high / 2;
              return { type: "rect", style: api.style(),
                shape: { x: from[0], y: top, width: Math.max(to[0] - from[0], 1), height: high } };
            }
          };
        });
        return option;
      }
    },
    heat: {
      height: function (picture) { return heightOf(picture.rows.length, 20, 190, 900); },
      option: function (picture, look, narrow, id) {
        var option = base(look, narrow), shown = picture.figures[shownFigure[id] || 0], most = 0, cells = [];
        shown.cells.forEach(function (row, y) {
          row.forEach(function (value, x) {
            if (value !== null) { cells.push([x, y, value]); most = Math.max(most, value); }
          });
        });
        option.grid.top = 8;
        option.grid.bottom = 56;
        option.xAxis = axis(look, { type: "category", data: picture.bins });
        option.xAxis.axisLabel = { color: look.ink, hideOverlap: true, formatter: function (at) { return seconds(+at); } };
        option.yAxis = rowAxis(look, picture.rows, narrow);
        option.tooltip.formatter = function (at) {
          return escaped(picture.rows[at.value[1]]) + ", " + seconds(picture.bins[at.value[0]]) + "<br>" +
            escaped(shown.name) + ": " + figure(at.value[2], shown.unit);
        };
        option.visualMap = {
          min: 0, max: shown.unit === "share" ? Math.max(1, most) : most || 1, calculable: false, orient: "horizontal",
          left: "center", bottom: 0, itemWidth: 14, itemHeight: narrow ? 100 : 180, textStyle: { color: look.ink },
          inRange: { color: look.ramp }, formatter: function (value) { return figure(value, shown.unit); },
          text: [figure(shown.unit === "share" ? Math.max(1, most) : most, shown.unit), "0"]
        };
        option.legend.show = false;
        option.series = [{ type: "heatmap", name: shown.name, data: cells, progressive: 4000 }];
        return option;
      }
    },
    points: {
      height: function () { return 320; },
      option: function (picture, look, narrow) {
        var option = base(look, narrow);
        option.legend.show = false;
        option.grid.bottom = 30;
        option.xAxis = axis(look, { type: "value", name: "input", nameLocation: "middle", nameGap: 28, scale: true });
        option.xAxis.axisLabel = { color: look.ink, hideOverlap: true, formatter: bytes, alignMaxLabel: "right" };
        var sizes = picture.points.map(function (point) { return point[0]; });
        var step = byteStep(Math.max(Math.max.apply(null, sizes) - Math.min.apply(null, sizes), Math.max.apply(null, sizes) / 10) / (narrow ? 3 : 7));
        option.xAxis.interval = step;
        option.xAxis.min = Math.floor(Math.min.apply(null, sizes) / step) * step;
        option.xAxis.max = Math.ceil((Math.max.apply(null, sizes) + 1) / step) * step;
        option.yAxis = Object.assign(timeAxis(look), { name: "took" });
        option.tooltip.formatter = function (at) {
          return "shard " + at.value[2] + "<br>" + bytes(at.value[0]) + " in " + seconds(at.value[1]);
        };
        option.series = [{ type: "scatter", name: "shards", data: picture.points, symbolSize: 6, large: true,
          itemStyle: { color: look.colours[0], opacity: 0.7 } }];
        return option;
      }
    }
  };

  // Drawing

  function draw(id) {
    var place = document.getElementById("picture-" + id), picture = pictures[id], kind = kinds[picture.kind];
    if (!place) { return; }
    var width = printing ? 680 : place.clientWidth, narrow = width < 560;
    place.style.height = kind.height(picture) + "px";
    if (charts[id]) { charts[id].dispose(); }
    charts[id] = echarts.init(place, null, { renderer: many(picture) ? "canvas" : "svg", width: printing ? 680 : undefined });
    charts[id].setOption(kind.option(picture, palette(), narrow, id));
    var words = place.getAttribute("aria-label");
    if (words) { place.removeAttribute("aria-label"); }  // the caption says what it is, the table what is in it
    place.setAttribute("role", "img");
  }
  function many(picture) {
    var cells = picture.figures ? picture.rows.length * picture.bins.length : 0;
    return (picture.spans || picture.points || []).length + cells > 1500;
  }
  function drawAll() { Object.keys(pictures).forEach(draw); }

  function chooser(id) {
    var picture = pictures[id], place = document.getElementById("picture-" + id);
    if (!place || picture.kind !== "heat" || picture.figures.length < 2) { return; }
    var label = document.createElement("label"), select = document.createElement("select");
    label.className = "choice";
    label.append("Figure: ", select);
    picture.figures.forEach(function (one, number) { select.add(new Option(one.name, number)); });
    select.addEventListener("change", function () { shownFigure[id] = +select.value; draw(id); });
    place.before(label);
  }

  var closed = [];
  window.addEventListener("beforeprint", function () {
    if (printing) { return; }
    printing = true;
    closed = Array.prototype.filter.call(document.querySelectorAll("details"), function (one) { return !one.open; });
    closed.forEach(function (one) { one.open = true; });
    drawAll();
  });
  window.addEventListener("afterprint", function () {
    printing = false;
    closed.forEach(function (one) { one.open = false; });
    drawAll();
  });
  dark.addEventListener("change", drawAll);
  var waiting = null, width = window.innerWidth;
  window.addEventListener("resize", function () {
    if (window.innerWidth === width) { return; }
    width = window.innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 150);
  });
  Object.keys(pictures).forEach(chooser);
  drawAll();
  document.documentElement.setAttribute("data-drawn", Object.keys(charts).length);
})();
