"""Stages that come with curator-slurm: files in, files out, and what curation does in between.

Names and arguments are NeMo Curator's where it has such a stage. Importing this package imports neither pandas,
Arrow nor Ray.
"""

from curator_slurm.executors.stages.document_filter import DocumentFilter, DocumentModifier
from curator_slurm.executors.stages.exact_dedup import DropDuplicates, ExactDeduplicationPipeline, HashDocuments
from curator_slurm.executors.stages.file_partitioning import FilePartitioningStage
from curator_slurm.executors.stages.fuzzy_dedup import DropNearDuplicates, FuzzyDeduplicationPipeline
from curator_slurm.executors.stages.jsonl_reader import JsonlReader, JsonlReaderStage
from curator_slurm.executors.stages.jsonl_writer import JsonlWriter
from curator_slurm.executors.stages.lsh import LSHStage, MergeEdgesStage
from curator_slurm.executors.stages.map_filter import FilterStage, MapStage
from curator_slurm.executors.stages.minhash import MinHashStage
from curator_slurm.executors.stages.modify import AddId, Modify
from curator_slurm.executors.stages.multi_writer import MultiWriter
from curator_slurm.executors.stages.parquet_reader import ParquetReader, ParquetReaderStage
from curator_slurm.executors.stages.parquet_writer import ParquetWriter
from curator_slurm.executors.stages.quality import (
    CommonEnglishWordsFilter,
    LongWordFilter,
    MeanWordLengthFilter,
    NonAlphaNumericFilter,
    NumbersFilter,
    ParenthesesFilter,
    RepeatedLinesByCharFilter,
    RepeatedLinesFilter,
    RepeatedParagraphsFilter,
    SubstringFilter,
    SymbolsToWordsFilter,
    UrlsFilter,
    WhiteSpaceFilter,
    WordCountFilter,
    WordsWithoutAlphabetsFilter,
)
from curator_slurm.executors.stages.score_filter import Filter, Score, ScoreFilter
from curator_slurm.executors.stages.statistics import DocumentStatistics, summarize
from curator_slurm.executors.stages.text_reader import TextReader, TextReaderStage
from curator_slurm.executors.stages.text_writer import TextWriter

__all__ = [
    "AddId",
    "CommonEnglishWordsFilter",
    "DocumentFilter",
    "DocumentModifier",
    "DocumentStatistics",
    "DropDuplicates",
    "DropNearDuplicates",
    "ExactDeduplicationPipeline",
    "FilePartitioningStage",
    "Filter",
    "FilterStage",
    "FuzzyDeduplicationPipeline",
    "HashDocuments",
    "JsonlReader",
    "JsonlReaderStage",
    "JsonlWriter",
    "LSHStage",
    "LongWordFilter",
    "MapStage",
    "MeanWordLengthFilter",
    "MergeEdgesStage",
    "MinHashStage",
    "Modify",
    "MultiWriter",
    "NonAlphaNumericFilter",
    "NumbersFilter",
    "ParenthesesFilter",
    "ParquetReader",
    "ParquetReaderStage",
    "ParquetWriter",
    "RepeatedLinesByCharFilter",
    "RepeatedLinesFilter",
    "RepeatedParagraphsFilter",
    "Score",
    "ScoreFilter",
    "SubstringFilter",
    "SymbolsToWordsFilter",
    "TextReader",
    "TextReaderStage",
    "TextWriter",
    "UrlsFilter",
    "WhiteSpaceFilter",
    "WordCountFilter",
    "WordsWithoutAlphabetsFilter",
    "summarize",
]
